// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package api

// ErrorCode is the kind of an SDKError.
type ErrorCode string

// The codes of the SDK.
const (
	// ErrRuntimeInvalidDriver means that Run was called with nil, was called twice, or was not called.
	ErrRuntimeInvalidDriver ErrorCode = "runtime_invalid_driver"
	// ErrRuntimeNotInitialized means that Init was not called or failed.
	ErrRuntimeNotInitialized ErrorCode = "runtime_not_initialized"
	// ErrRuntimeClosed means that the function or its context is closed.
	ErrRuntimeClosed ErrorCode = "runtime_closed"
	// ErrStoreInvalidName means that a store's name is not 1 to 255 bytes of UTF-8.
	ErrStoreInvalidName ErrorCode = "store_invalid_name"
	// ErrStoreInternal means that the store refused a call, or that an iterator is closed.
	ErrStoreInternal ErrorCode = "store_internal"
	// ErrStoreNotFound means that the store's handle is closed.
	ErrStoreNotFound ErrorCode = "store_not_found"
	// ErrStoreIO means that the store could not read or write.
	ErrStoreIO ErrorCode = "store_io"
	// ErrResultUnexpected means that the host refused what was emitted, or did something that the SDK does not expect.
	ErrResultUnexpected ErrorCode = "result_unexpected"
	// ErrTimerUnavailable means that the driver does not implement TimerDriver, or that the host's world has no timers.
	ErrTimerUnavailable ErrorCode = "timer_unavailable"
	// ErrTimerInvalid means that a timer's key is too long or its domain unknown.
	ErrTimerInvalid ErrorCode = "timer_invalid"
)

// SDKError is the type of every error that the SDK itself creates. Use errors.As to read its code.
type SDKError struct {
	// Code is the kind of the error.
	Code ErrorCode
	// Message says what happened.
	Message string
	// Cause is the underlying error, or nil.
	Cause error
}

// NewError returns an SDKError with a code and a message.
func NewError(code ErrorCode, message string) *SDKError {
	return &SDKError{Code: code, Message: message}
}

// Error returns the message, followed by the cause and the code.
func (e *SDKError) Error() string {
	text := e.Message
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text + " (" + string(e.Code) + ")"
}

// Unwrap returns the cause.
func (e *SDKError) Unwrap() error { return e.Cause }

// Is reports whether target is an SDKError that has the same code and nothing else, so that errors.Is works with
// &SDKError{Code: …}.
func (e *SDKError) Is(target error) bool {
	other, ok := target.(*SDKError)
	return ok && other.Code == e.Code && other.Message == "" && other.Cause == nil
}
