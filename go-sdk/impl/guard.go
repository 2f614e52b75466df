// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package impl

import (
	"fmt"
	"runtime/debug"
	"strings"
)

// Text of an error that goes to the host at most: a stack may be endless.
const mostText = 32 << 10

// guard makes a panic an error. (In TinyGo, where nothing recovers, a panic ends the instance.)
func guard(run func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked(p)
		}
	}()
	return run()
}

// panicked is a panic as an error, with the stack at which it happened.
func panicked(p any) error {
	if err, ok := p.(error); ok {
		return fmt.Errorf("panic: %w\n\n%s", err, debug.Stack())
	}
	return fmt.Errorf("panic: %v\n\n%s", p, debug.Stack())
}

// Text returns the text of an error in the form that the host accepts: UTF-8 of a bounded length.
func Text(err error) (text string) {
	defer func() {
		if p := recover(); p != nil {
			text = fmt.Sprintf("an error whose own text panics: %v", p)
		}
	}()
	text = err.Error()
	if len(text) > mostText {
		text = text[:mostText] + "…"
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
