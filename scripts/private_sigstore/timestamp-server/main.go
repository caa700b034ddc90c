// Command timestamp-server is Sigstore's timestamp authority on a port of loopback, and on no other: the stock program
// serves its metrics on port 2112 of all interfaces besides, so that only one can run on a machine.
//
// Usage: timestamp-server PORT KEY.pem CHAIN.pem; the chain begins with the key's own certificate.
package main

import (
	"log"
	"os"
	"strconv"
	"time"

	"github.com/sigstore/timestamp-authority/v2/pkg/server"
	"github.com/spf13/viper"
)

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: timestamp-server PORT KEY.pem CHAIN.pem")
	}
	port, err := strconv.Atoi(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	for name, value := range map[string]any{ // the other settings are those of the stock program
		"timestamp-signer":         "file",
		"file-signer-key-path":     os.Args[2],
		"certificate-chain-path":   os.Args[3],
		"timestamp-signer-hash":    "sha256",
		"enforce-intermediate-eku": true,
		"default-policy-oid":       "1.3.6.1.4.1.57264.2",
		"accepted-policy-oids":     []string{"1.3.6.1.4.1.57264.2"},
		"max-request-body-size":    1 << 20,
	} {
		viper.Set(name, value)
	}
	log.Fatal(server.NewRestAPIServer("127.0.0.1", port, []string{"http"}, false, 30*time.Second, 60*time.Second).Serve())
}
