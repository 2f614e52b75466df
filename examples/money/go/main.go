// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

// A function that adds 1 to the money of a person.
package main

import (
	"encoding/json"

	fssdk "github.com/functionstream/function-stream/go-sdk"
)

func init() { fssdk.Run(&money{}) }

func main() {}

// Person is what the records hold, in and out.
type Person struct {
	Name     string `json:"name"`
	Money    int    `json:"money"`
	Expected int    `json:"expected"`
}

type money struct{ fssdk.BaseDriver }

func (money) Process(ctx fssdk.Context, _ uint32, data []byte) error {
	var person Person
	if err := json.Unmarshal(data, &person); err != nil {
		return err
	}
	person.Money++
	result, err := json.Marshal(person)
	if err != nil {
		return err
	}
	return ctx.Emit(0, result)
}
