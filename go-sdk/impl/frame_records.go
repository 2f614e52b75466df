// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package impl

// FrameRecord is a record in or out of a frame. For a host in Go.
type FrameRecord struct {
	Channel   uint32
	Timestamp int64
	Value     []byte
}

// EncodeFrame makes a frame of records.
func EncodeFrame(records []FrameRecord) []byte {
	var builder frameBuilder
	for _, record := range records {
		builder.push(record.Channel, record.Timestamp, record.Value)
	}
	return builder.frame()
}

// DecodeFrame reads the records of a frame; their values are parts of it.
func DecodeFrame(bytes []byte) ([]FrameRecord, error) {
	frame, err := parseFrame(bytes)
	if err != nil {
		return nil, err
	}
	records := make([]FrameRecord, len(frame.timestamps))
	for i := range records {
		records[i] = FrameRecord{frame.channels[i], frame.timestamps[i], frame.value(i)}
	}
	return records, nil
}
