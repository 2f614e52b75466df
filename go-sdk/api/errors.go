// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package api

// ErrorCode tells what kind of error an SDKError is.
type ErrorCode string

// The codes of the SDK.
const (
	// ErrRuntimeInvalidDriver says that Run was given no driver, or two, or was not called.
	ErrRuntimeInvalidDriver ErrorCode = "runtime_invalid_driver"
	// ErrRuntimeNotInitialized says that Init was not called, or failed.
	ErrRuntimeNotInitialized ErrorCode = "runtime_not_initialized"
	// ErrRuntimeClosed says that the function, or its context, was closed.
	ErrRuntimeClosed ErrorCode = "runtime_closed"
	// ErrStoreInvalidName says that a store's name is not 1 to 255 bytes of UTF-8.
	ErrStoreInvalidName ErrorCode = "store_invalid_name"
	// ErrStoreInternal says that the store refused a call, or that an iterator was closed.
	ErrStoreInternal ErrorCode = "store_internal"
	// ErrStoreNotFound says that the store's handle was closed.
	ErrStoreNotFound ErrorCode = "store_not_found"
	// ErrStoreIO says that the store could not read or write.
	ErrStoreIO ErrorCode = "store_io"
	// ErrResultUnexpected says that the host refused, called or answered what the SDK did not expect.
	ErrResultUnexpected ErrorCode = "result_unexpected"
	// ErrTimerUnavailable says that there are no timers: the driver does not implement TimerDriver, or the world has none.
	ErrTimerUnavailable ErrorCode = "timer_unavailable"
	// ErrTimerInvalid says that a timer's key is too long, or its domain unknown.
	ErrTimerInvalid ErrorCode = "timer_invalid"
)

// SDKError is every error that the SDK itself makes. Use errors.As to get at its code.
type SDKError struct {
	// Code is the kind of error.
	Code ErrorCode
	// Message says what happened.
	Message string
	// Cause is the error behind it, if there is one.
	Cause error
}

// NewError makes an error of a code with a message.
func NewError(code ErrorCode, message string) *SDKError {
	return &SDKError{Code: code, Message: message}
}

// Error is the message, the cause and the code.
func (e *SDKError) Error() string {
	text := e.Message
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text + " (" + string(e.Code) + ")"
}

// Unwrap is the cause.
func (e *SDKError) Unwrap() error { return e.Cause }

// Is tells whether target is an SDKError of the same code, so that errors.Is works with &SDKError{Code: …}.
func (e *SDKError) Is(target error) bool {
	other, ok := target.(*SDKError)
	return ok && other.Code == e.Code && other.Message == "" && other.Cause == nil
}
