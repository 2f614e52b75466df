// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//go:build wasip1 || wasip2

package impl

import (
	"github.com/functionstream/function-stream/go-sdk/api"
	"github.com/functionstream/function-stream/go-sdk/bindings/core"
)

// perRecord is the world functionstream:core: nothing is gathered, since its records come one call at a time.
type perRecord struct {
	contextBase
}

var _ api.TimerContext = (*perRecord)(nil)

// Emit emits a record. The host ends the call when there is no such output.
func (p *perRecord) Emit(target uint32, data []byte) error {
	if p.closed {
		return errClosed()
	}
	core.Emit(target, data)
	return nil
}

// EmitWatermark emits a watermark.
func (p *perRecord) EmitWatermark(target uint32, watermark uint64) error {
	if p.closed {
		return errClosed()
	}
	core.EmitWatermark(target, watermark)
	return nil
}

// SetTimer is refused: the world has no timers.
func (p *perRecord) SetTimer(api.TimeDomain, []byte, int64) error { return errNoTimers() }

// DeleteTimer is refused: the world has no timers.
func (p *perRecord) DeleteTimer(api.TimeDomain, []byte) error { return errNoTimers() }

func errNoTimers() error {
	return api.NewError(api.ErrTimerUnavailable, "this host calls the function record by record, in a world without timers")
}

// GetOrCreateStore opens a store.
func (p *perRecord) GetOrCreateStore(name string) (api.Store, error) {
	opened, err := p.open(name, func() (Backend, error) { return core.NewStore(name), nil })
	if err != nil {
		return nil, err
	}
	return opened, nil
}

// Flush has nothing to do.
func (p *perRecord) Flush() error { return nil }
