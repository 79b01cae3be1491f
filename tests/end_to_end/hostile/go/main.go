// Makes one certificate as it is asked to on standard input (JSON), with crypto/x509 alone.
//
// Files are named by the caller: what is written is the certificate with what it was told to send after it, and the key.
package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"time"
)

// Wish is what a test asks for; a field that is absent is left out of the certificate.
type Wish struct {
	IssuerCertificate string            `json:"issuer_certificate"`
	IssuerKey         string            `json:"issuer_key"`
	CommonName        string            `json:"common_name"`
	Organisation      string            `json:"organisation"`
	Extra             map[string]string `json:"extra"` // more attributes of the subject: OID -> text
	Serial            string            `json:"serial"`
	Key               string            `json:"key"` // p256, rsa1024, rsa2048, …
	DNS               []string          `json:"dns"`
	Email             []string          `json:"email"`
	URI               []string          `json:"uri"`
	IP                []string          `json:"ip"`
	CA                bool              `json:"ca"`
	PathLength        *int              `json:"path_length"`
	Usages            []string          `json:"usages"` // client, server, any
	Permitted         []string          `json:"permitted"`
	Lists             []string          `json:"lists"`
	OCSP              []string          `json:"ocsp"`
	Issuers           []string          `json:"issuers"`
	BeginHours        float64           `json:"begin_hours"`
	EndHours          float64           `json:"end_hours"`
	SubjectKey        []byte            `json:"subject_key"`
	SubjectOf         string            `json:"subject_of"` // a PEM file whose subject is taken, octet by octet
	Chain             []string          `json:"chain"` // PEM files that are sent after it
	Out               string            `json:"out"`
	OutKey            string            `json:"out_key"`
}

var usages = map[string]x509.ExtKeyUsage{
	"client": x509.ExtKeyUsageClientAuth,
	"server": x509.ExtKeyUsageServerAuth,
	"any":    x509.ExtKeyUsageAny,
	"code":   x509.ExtKeyUsageCodeSigning,
}

func main() {
	var wish Wish
	must(json.NewDecoder(os.Stdin).Decode(&wish))
	key := newKey(wish.Key)
	template := &x509.Certificate{
		SerialNumber:          serial(wish.Serial),
		Subject:               subject(wish),
		NotBefore:             after(wish.BeginHours),
		NotAfter:              after(wish.EndHours),
		DNSNames:              wish.DNS,
		EmailAddresses:        wish.Email,
		BasicConstraintsValid: true,
		IsCA:                  wish.CA,
		PermittedDNSDomains:   wish.Permitted,
		CRLDistributionPoints: wish.Lists,
		OCSPServer:            wish.OCSP,
		IssuingCertificateURL: wish.Issuers,
		SubjectKeyId:          wish.SubjectKey,
		KeyUsage:              x509.KeyUsageDigitalSignature,
	}
	if wish.SubjectOf != "" {
		certificate, err := x509.ParseCertificate(block(wish.SubjectOf))
		must(err)
		template.RawSubject = certificate.RawSubject
	}
	if wish.CA {
		template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	}
	if wish.PathLength != nil {
		template.MaxPathLen, template.MaxPathLenZero = *wish.PathLength, *wish.PathLength == 0
	}
	for _, usage := range wish.Usages {
		template.ExtKeyUsage = append(template.ExtKeyUsage, usages[usage])
	}
	for _, text := range wish.URI {
		parsed, err := url.Parse(text)
		must(err)
		template.URIs = append(template.URIs, parsed)
	}
	for _, text := range wish.IP {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(text))
	}
	issuer, signer := template, crypto.Signer(key)
	if wish.IssuerCertificate != "" {
		issuer, signer = readIssuer(wish.IssuerCertificate, wish.IssuerKey)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), signer)
	must(err)
	var out bytes.Buffer
	must(pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der}))
	for _, file := range wish.Chain {
		more, err := os.ReadFile(file)
		must(err)
		out.Write(more)
	}
	must(os.WriteFile(wish.Out, out.Bytes(), 0o600))
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(err)
	must(os.WriteFile(wish.OutKey, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
}

func subject(wish Wish) pkix.Name {
	name := pkix.Name{CommonName: wish.CommonName}
	if wish.Organisation != "" {
		name.Organization = []string{wish.Organisation}
	}
	for oid, text := range wish.Extra {
		name.ExtraNames = append(name.ExtraNames, pkix.AttributeTypeAndValue{Type: parseOID(oid), Value: text})
	}
	return name
}

func parseOID(text string) asn1.ObjectIdentifier {
	var oid asn1.ObjectIdentifier
	for _, part := range bytes.Split([]byte(text), []byte(".")) {
		var number int
		_, err := fmt.Sscan(string(part), &number)
		must(err)
		oid = append(oid, number)
	}
	return oid
}

func serial(text string) *big.Int {
	if text != "" {
		number, ok := new(big.Int).SetString(text, 16)
		if !ok {
			must(fmt.Errorf("%q is no serial number", text))
		}
		return number
	}
	number, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 150))
	must(err)
	return number
}

func newKey(kind string) crypto.Signer {
	var bits int
	if _, err := fmt.Sscanf(kind, "rsa%d", &bits); err == nil {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		must(err)
		return key
	}
	curve := elliptic.P256()
	if kind == "p224" {
		curve = elliptic.P224()
	}
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	must(err)
	return key
}

func readIssuer(certificateFile, keyFile string) (*x509.Certificate, crypto.Signer) {
	certificate, err := x509.ParseCertificate(block(certificateFile))
	must(err)
	key, err := x509.ParsePKCS8PrivateKey(block(keyFile))
	must(err)
	return certificate, key.(crypto.Signer)
}

func block(file string) []byte {
	text, err := os.ReadFile(file)
	must(err)
	found, _ := pem.Decode(text)
	if found == nil {
		must(fmt.Errorf("%s holds no PEM", file))
	}
	return found.Bytes
}

func after(hours float64) time.Time {
	return time.Now().Add(time.Duration(hours * float64(time.Hour)))
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
