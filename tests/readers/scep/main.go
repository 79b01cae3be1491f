// A SCEP client on smallstep's library, for the tests: makes a key, asks for a certificate, prints it.
//
//	scep URL CHALLENGE aes|des     asks once; prints PEM, or "pending", or "failure N"
package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"time"

	"github.com/smallstep/pkcs7"
	"github.com/smallstep/scep"
	"github.com/smallstep/scep/x509util"
)

func main() {
	if err := enrol(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func enrol(url, challenge, cipher string) error {
	pkcs7.ContentEncryptionAlgorithm = pkcs7.EncryptionAlgorithmAES128CBC
	if cipher == "des" {
		pkcs7.ContentEncryptionAlgorithm = pkcs7.EncryptionAlgorithmDESCBC
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	csr, self, err := identity(key, challenge)
	if err != nil {
		return err
	}
	answer, err := ask(http.MethodGet, url+"?operation=GetCACert", nil)
	if err != nil {
		return err
	}
	known, err := scep.CACerts(answer)
	if err != nil {
		return err
	}
	var recipients []*x509.Certificate
	for _, one := range known {
		if one.KeyUsage&x509.KeyUsageKeyEncipherment != 0 {
			recipients = append(recipients, one)
		}
	}
	request, err := scep.NewCSRRequest(csr, &scep.PKIMessage{
		MessageType: scep.PKCSReq, Recipients: recipients, SignerKey: key, SignerCert: self,
	})
	if err != nil {
		return err
	}
	answer, err = ask(http.MethodPost, url+"?operation=PKIOperation", request.Raw)
	if err != nil {
		return err
	}
	reply, err := scep.ParsePKIMessage(answer, scep.WithCACerts(known))
	if err != nil {
		return err
	}
	switch reply.PKIStatus {
	case scep.PENDING:
		fmt.Println("pending")
		return nil
	case scep.FAILURE:
		fmt.Println("failure", string(reply.FailInfo))
		return nil
	}
	if err := reply.DecryptPKIEnvelope(self, key); err != nil {
		return err
	}
	return pem.Encode(os.Stdout, &pem.Block{Type: "CERTIFICATE", Bytes: reply.CertRepMessage.Certificate.Raw})
}

// identity is a request with the challenge, and a certificate of one's own for the same key.
func identity(key *rsa.PrivateKey, challenge string) (*x509.CertificateRequest, *x509.Certificate, error) {
	template := x509util.CertificateRequest{
		CertificateRequest: x509.CertificateRequest{
			Subject: pkix.Name{CommonName: "device"}, SignatureAlgorithm: x509.SHA256WithRSA,
		},
		ChallengePassword: challenge,
	}
	der, err := x509util.CreateCertificateRequest(rand.Reader, &template, key)
	if err != nil {
		return nil, nil, err
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, nil, err
	}
	own := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "device"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err = x509.CreateCertificate(rand.Reader, own, own, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	self, err := x509.ParseCertificate(der)
	return csr, self, err
}

func ask(method, url string, body []byte) ([]byte, error) {
	request, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/x-pki-message")
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", response.StatusCode, base64.StdEncoding.EncodeToString(answer))
	}
	return answer, err
}
