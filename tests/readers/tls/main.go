// Shakes hands as Go's crypto/tls does and says what was agreed on, in JSON.
//
// Usage: tls ADDRESS NAME ROOT.pem [CERT.pem KEY.pem]
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	root, err := os.ReadFile(arguments[2])
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(root)
	config := &tls.Config{ServerName: arguments[1], RootCAs: roots}
	if len(arguments) > 4 {
		pair, err := tls.LoadX509KeyPair(arguments[3], arguments[4])
		if err != nil {
			return err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	connection, err := tls.Dial("tcp", arguments[0], config)
	if err != nil {
		return err
	}
	defer connection.Close()
	state := connection.ConnectionState()
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"group":   state.CurveID.String(),
		"version": tls.VersionName(state.Version),
	})
}
