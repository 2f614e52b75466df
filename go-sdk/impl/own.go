// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package impl

// own is what the record in process has written to a store, so that it can be undone.
type own struct {
	// The number of the record.
	record uint64
	// Its writes begin behind so many of the list, in so many bytes.
	n     uint32
	bytes int
	// The entries that it changed, as they were before. Their values are in values, but for those that only grew since.
	saved  []saved
	values []byte
	// Its writes are mixed with others in the list, or with the host: it cannot be undone.
	mixed bool
}

// saved is an entry as it was.
type saved struct {
	entry         *entry
	length        int
	at            int
	copied        bool
	found, marked bool
}

// begin is called before each record.
func (c *cache) begin() {
	o := &c.own
	o.record++
	o.n, o.bytes, o.mixed = c.writes.n, len(c.writes.bytes), false
	if len(o.saved) > 0 {
		o.forget()
	}
}

func (o *own) forget() {
	clear(o.saved)
	o.saved, o.values = o.saved[:0], o.values[:0]
	if cap(o.values) > 4*mostWrites {
		// A value of many megabytes has passed; that is not the rule.
		o.values = nil
	}
}

// hasOwn reports whether the record in process has written anything.
func (c *cache) hasOwn() bool { return len(c.own.saved) > 0 || c.writes.n > c.own.n }

// save keeps an entry as it is before the record in process changes it. If its value only grows there is no need for a copy.
func (c *cache) save(e *entry, grows bool) {
	o := &c.own
	if e.changedBy != o.record || e.saved >= len(o.saved) || o.saved[e.saved].entry != e {
		e.changedBy, e.saved = o.record, len(o.saved)
		o.saved = append(o.saved, saved{entry: e, length: len(e.value), found: e.found, marked: e.marked})
	}
	if s := &o.saved[e.saved]; !grows && !s.copied {
		s.at, s.copied = len(o.values), true
		o.values = append(o.values, e.value[:s.length]...)
	}
}

// undo takes back what the record in process has written, and reports whether it could do so. What is left must be passed on next.
func (c *cache) undo() bool {
	o := &c.own
	if o.mixed {
		return false
	}
	if !c.hasOwn() {
		return true
	}
	c.writes.truncate(o.n, o.bytes)
	for i := range o.saved {
		s := &o.saved[i]
		e := s.entry
		if s.copied {
			e.value = append(e.value[:0], o.values[s.at:s.at+s.length]...)
		} else {
			e.value = e.value[:s.length]
		}
		e.found = s.found
		if s.marked && !e.marked {
			c.marked = append(c.marked, e)
		}
		e.marked = s.marked
	}
	o.forget()
	c.forgetAll()
	return true
}
