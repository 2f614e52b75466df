// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

// A function that adds 1 to the money of a person: a record comes on the standard input, the result goes to the standard
// output.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// Person is what the records hold, in and out.
type Person struct {
	Name     string `json:"name"`
	Money    int    `json:"money"`
	Expected int    `json:"expected"`
}

//go:wasmexport process
func process() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		// Another status than 0 fails this record; what was said here is in the server's log.
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	event, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	var person Person
	if err := json.Unmarshal(event, &person); err != nil {
		return err
	}
	person.Money++
	result, err := json.Marshal(person)
	if err != nil {
		return err
	}
	_, err = out.Write(result)
	return err
}

func main() {}
