// Reads a .p12 with the two libraries that programs in Go use, both strict about DER:
//
//	p12 chain|pem FILE PASSWORD
//
// chain: software.sslmate.com/src/go-pkcs12; pem: golang.org/x/crypto/pkcs12. Prints a line for what was found, or fails.
package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"

	old "golang.org/x/crypto/pkcs12"
	current "software.sslmate.com/src/go-pkcs12"
)

func main() {
	if err := read(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func read(library, file, password string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if library == "chain" {
		key, leaf, above, err := current.DecodeChain(data, password)
		if err != nil {
			return err
		}
		fmt.Printf("%T %s %d\n", key, leaf.Subject, 1+len(above))
		return nil
	}
	blocks, err := old.ToPEM(data, password)
	if err != nil {
		return err
	}
	certificates, keys := 0, 0
	subject := ""
	for _, block := range blocks {
		if block.Type != "CERTIFICATE" {
			keys++
			continue
		}
		certificates++
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return err
		}
		if block.Headers["localKeyId"] != "" {
			subject = certificate.Subject.String()
		}
		_ = pem.EncodeToMemory(block)
	}
	fmt.Printf("%d keys %s %d\n", keys, subject, certificates)
	return nil
}
