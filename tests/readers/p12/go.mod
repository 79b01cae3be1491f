module mutualgate.test/p12

go 1.26.8

require (
	golang.org/x/crypto v0.59.0
	software.sslmate.com/src/go-pkcs12 v0.7.4
)
