// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package api

// Metadata is what is known of the function and its task.
type Metadata struct {
	// Name is the function's name.
	Name string
	// Revision is the function's revision.
	Revision uint64
	// TaskIndex is the index of this task among the function's tasks.
	TaskIndex uint32
	// Outputs are the names of the outputs. The index of each is the target to emit to.
	Outputs []string
}

// MetadataContext is implemented by contexts that know the function and its task. In Function Stream every Context is one. Hosts of
// the per-record world do not tell, so ask:
//
//	if known, ok := ctx.(fssdk.MetadataContext); ok {
//		name = known.Metadata().Name
//	}
type MetadataContext interface {
	Context

	// Metadata returns what is known. The caller may keep and change it.
	Metadata() Metadata
}
