// Command peers is what we compare with and are judged by: Equinix's own Go clients, and a validator that reads the
// OpenAPI documents which Equinix publishes with them. tests/foreign/peers.rs, renewal.rs and documents.rs start it.
package main

import (
	"fmt"
	"os"
)

const usage = `peers ask CLIENT URL ARGUMENT…      let a client of Equinix ask, and print what it read as JSON
peers work API SOURCES SPAN         let token sources ask an API for so long, and print what came of it as JSON
peers watch REPORT -- COMMAND…      run a command whose requests to Equinix go through the validator
peers send METHOD URL TYPE BODY     send a request as it is
peers version`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) > 2 && args[0] == "ask":
		return ask(args[1], args[2], args[3:])
	case len(args) == 4 && args[0] == "work":
		return work(args[1], args[2], args[3])
	case len(args) > 3 && args[0] == "watch" && args[2] == "--":
		return watch(args[1], args[3:])
	case len(args) == 5 && args[0] == "send":
		return send(args[1], args[2], args[3], args[4])
	case len(args) == 1 && args[0] == "version":
		// The documents have to be where the validator looks for them.
		_, err := load()
		return err
	}
	return fmt.Errorf("usage:\n%s", usage)
}
