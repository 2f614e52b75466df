// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package impl

import "bytes"

// Bounds of a cache.
const (
	// mostWrites is how many bytes of writes wait before they go to the host in the middle of a batch.
	mostWrites = 1 << 20
	// mostKnown is how many bytes each of the two generations of what is known may take.
	mostKnown = 1 << 20
	// mostValue is the largest value that is worth knowing.
	mostValue = 128 << 10
	// entryBytes is what an entry takes beside its key and value.
	entryBytes = 128
)

// cache is what an instance knows of one store, so that hot keys cross the boundary once, not with every record.
//
//	get  -> what is known -> else the host is asked, and the answer is known from then on
//	set  -> known, and marked; all marked keys go to the host in one call at the end of each batch, with their last value
//
// Other writes go into the same list in their order. What is known stays true as long as the instance lives: nobody else
// writes this task's state, and when an epoch is abandoned its instance is, too. There are two generations: when the young
// one is full it becomes the old one, and what is not used until the next time is forgotten.
//
// What a record wrote can be undone unless it is mixed with the writes of others in the list, or with the host: see own.
type cache struct {
	host       StoreHost
	young, old map[string]*entry
	youngBytes int
	// Entries that may be marked. An entry may be here twice, but is written once.
	marked      []*entry
	markedBytes int
	writes      opList
	// Some of the writes are to keys that are not known: the host cannot be asked before it has them.
	blind bool
	fault *error
	own   own
	// version counts writes. Of those since the version since, furthest is the furthest key, or the end of a range that was
	// deleted; of earlier ones it is only known that there were some.
	version, since uint64
	furthest       []byte
}

type entry struct {
	key    string
	value  []byte
	found  bool
	marked bool
	// The record that changed it last, and where own keeps how it was before that.
	changedBy uint64
	saved     int
}

func newCache(host StoreHost, fault *error) *cache {
	return &cache{host: host, young: make(map[string]*entry), fault: fault}
}

// get is the value of a key, which the caller must not change or keep.
func (c *cache) get(key []byte) (value []byte, found bool, err error) {
	if e := c.lookup(key); e != nil {
		return e.value, e.found, nil
	}
	if c.blind {
		if err := c.flush(); err != nil {
			return nil, false, err
		}
	}
	value, found, err = c.host.Get(key)
	if err == nil && len(value) <= mostValue {
		c.learn(&entry{key: string(key), value: value, found: found})
	}
	return value, found, err
}

// set stores a value, or removes the key.
func (c *cache) set(key, value []byte, found bool) error {
	c.changed(key)
	e := c.lookup(key)
	if len(value) > mostValue {
		c.forget(e)
		c.writes.push(OpPut, string(key), value)
		c.blind = true
		return c.bound()
	}
	if e == nil {
		e = &entry{key: string(key)}
		e.value = append([]byte{}, value...)
		c.learn(e)
		c.save(e, false)
	} else {
		c.save(e, false)
		c.youngBytes += len(value) - len(e.value)
		e.value = append(e.value[:0], value...)
	}
	e.found = found
	if !e.marked {
		e.marked = true
		c.marked = append(c.marked, e)
	}
	c.markedBytes += len(key) + len(value)
	return c.bound()
}

// merge appends to a value.
func (c *cache) merge(key, operand []byte) error {
	c.changed(key)
	e := c.lookup(key)
	if e != nil {
		c.save(e, true)
		c.write(e)
	}
	c.writes.push(OpMerge, string(key), operand)
	if e != nil && len(e.value)+len(operand) <= mostValue {
		e.value = append(e.value, operand...)
		e.found = true
		c.youngBytes += len(operand)
	} else {
		c.forget(e)
		c.blind = true
	}
	return c.bound()
}

// deleteRange removes all keys from start to end, exclusive.
func (c *cache) deleteRange(start, end []byte) error {
	c.changed(end)
	c.writeMarked()
	c.writes.push(OpDeleteRange, string(start), end)
	c.forgetAll()
	return c.bound()
}

// page of a range, own writes included, with what stale has to know of it.
func (c *cache) page(start, end []byte, maxBytes uint32) (pairs, next []byte, read uint64, err error) {
	if err := c.flush(); err != nil {
		return nil, nil, 0, err
	}
	if c.since != c.version {
		c.since, c.furthest = c.version, c.furthest[:0]
	}
	pairs, next, err = c.host.Scan(start, end, maxBytes)
	return pairs, next, c.version, err
}

// stale reports whether a page that was read then may not be true any more for the keys from a key on.
func (c *cache) stale(read uint64, from []byte) bool {
	return read != c.version && (read < c.since || bytes.Compare(c.furthest, from) >= 0)
}

// changed notes that a key was written, or a range deleted that ends at this one.
func (c *cache) changed(key []byte) {
	c.version++
	if bytes.Compare(key, c.furthest) > 0 {
		c.furthest = append(c.furthest[:0], key...)
	}
}

// flush passes all writes to the host.
func (c *cache) flush() error {
	c.own.mixed = c.own.mixed || c.hasOwn()
	c.writeMarked()
	if *c.fault != nil || c.writes.n == 0 {
		return *c.fault
	}
	if err := c.host.Write(c.writes.encoded()); err != nil {
		*c.fault = err
	}
	c.writes.clear()
	c.own.n, c.own.bytes = 0, 0
	c.blind = false
	return *c.fault
}

func (c *cache) bound() error {
	if c.markedBytes+len(c.writes.bytes) > mostWrites {
		return c.flush()
	}
	return nil
}

func (c *cache) lookup(key []byte) *entry {
	if e := c.young[string(key)]; e != nil {
		return e
	}
	e := c.old[string(key)]
	if e != nil {
		delete(c.old, e.key)
		c.learn(e)
	}
	return e
}

func (c *cache) learn(e *entry) {
	if c.youngBytes > mostKnown {
		// What is forgotten must be found at the host from now on.
		c.writeMarked()
		c.blind = c.writes.n > 0
		c.old, c.young, c.youngBytes = c.young, make(map[string]*entry), 0
	}
	c.young[e.key] = e
	c.youngBytes += len(e.key) + len(e.value) + entryBytes
}

// forget makes a key unknown; its earlier writes keep their place.
func (c *cache) forget(e *entry) {
	if e == nil {
		return
	}
	c.save(e, false)
	c.write(e)
	delete(c.young, e.key)
	c.youngBytes -= len(e.key) + len(e.value) + entryBytes
}

// forgetAll makes every key unknown; the writes that wait come first when the host is asked.
func (c *cache) forgetAll() {
	c.young, c.old, c.youngBytes = make(map[string]*entry), nil, 0
	c.blind = true
}

func (c *cache) writeMarked() {
	if c.hasOwn() {
		c.own.mixed = true
	}
	for _, e := range c.marked {
		c.write(e)
	}
	clear(c.marked)
	c.marked = c.marked[:0]
	c.markedBytes = 0
	if !c.own.mixed {
		c.own.n, c.own.bytes = c.writes.n, len(c.writes.bytes)
	}
}

func (c *cache) write(e *entry) {
	if !e.marked {
		return
	}
	e.marked = false
	if e.found {
		c.writes.push(OpPut, e.key, e.value)
	} else {
		c.writes.push(OpDelete, e.key, nil)
	}
}
