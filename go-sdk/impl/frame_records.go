// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package impl

import "github.com/functionstream/function-stream/go-sdk/api"

// FrameRecord is a record of a frame, for hosts in Go.
type FrameRecord struct {
	Channel uint32
	api.Record
}

// EncodeFrame returns the frame of records.
func EncodeFrame(records []FrameRecord) []byte {
	var builder frameBuilder
	for _, record := range records {
		builder.pushRecord(record.Channel, record.Record)
	}
	return builder.frame()
}

// DecodeFrame reads the records of a frame. Their bytes are parts of the frame.
func DecodeFrame(bytes []byte) ([]FrameRecord, error) {
	frame, err := parseFrame(bytes)
	if err != nil {
		return nil, err
	}
	records := make([]FrameRecord, len(frame.timestamps))
	for i := range records {
		records[i] = FrameRecord{frame.channels[i], api.Record{
			Key: frame.key(i), Headers: frame.headers(i), Timestamp: frame.timestamps[i],
			Value: frame.value(i), Null: frame.null(i),
		}}
	}
	return records, nil
}
