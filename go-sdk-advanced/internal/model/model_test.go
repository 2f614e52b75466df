// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package model

import (
	"fmt"
	"math/rand"
	"testing"

	fssdk "github.com/functionstream/function-stream/go-sdk"
	"github.com/functionstream/function-stream/go-sdk/fstest"
)

func TestAllStatesAgreeWithAModelOverRestarts(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	host, err := fstest.New(func() fssdk.Driver { return &Driver{} }, fstest.Options{})
	for batch := 0; batch < 1000 && err == nil; batch++ {
		if err = host.Send(fmt.Sprint(batch, " 100")); err != nil {
			break
		}
		switch random.Intn(4) {
		case 0:
			err = host.Checkpoint()
		case 1:
			err = host.Restart()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if values := host.Values(); values[len(values)-1] != "100000 operations" {
		t.Fatal(values[len(values)-1])
	}
}
