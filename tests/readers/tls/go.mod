module mutualgate.example/tls

go 1.25
