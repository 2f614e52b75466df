// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A component of both worlds: what it emits says which one was taken.

wit_bindgen::generate!({
    inline: "
        package test:both;
        world both {
            include functionstream:core/processor@0.1.0;
            include functionstream:packed/packed@0.1.0;
        }
    ",
    path: ["../../../../../wit/core", "../../../../../wit/packed"],
    world: "test:both/both",
    generate_all,
});

use exports::functionstream::packed::function as packed;

struct Both;

impl Guest for Both {
    fn fs_init(_: Vec<(String, String)>) {}
    fn fs_process(_: u32, _: Vec<u8>) {
        functionstream::core::collector::emit(0, b"processor");
    }
    fn fs_process_watermark(_: u32, _: u64) {}
    fn fs_take_checkpoint(_: u64) {}
    fn fs_check_heartbeat() -> bool {
        true
    }
    fn fs_close() {}
    fn fs_exec(_: String, _: Vec<(String, Vec<u8>)>) {}
    fn fs_custom(payload: Vec<u8>) -> Vec<u8> {
        payload
    }
}

impl packed::Guest for Both {
    fn init(_: Vec<(String, String)>, _: packed::Metadata) -> Result<(), String> {
        Ok(())
    }
    fn process_batch(frame: Vec<u8>) -> Result<(), packed::RecordError> {
        functionstream::packed::output::emit_frame(&frame)
            .map_err(|message| packed::RecordError { index: u32::MAX, message })
    }
    fn process_watermark(_: u32, _: u64) -> Result<(), String> {
        Ok(())
    }
    fn take_checkpoint(_: u64) -> Result<(), String> {
        Ok(())
    }
    fn check_heartbeat() -> bool {
        true
    }
    fn close() -> Result<(), String> {
        Ok(())
    }
    fn exec(_: String, _: Vec<packed::Module>) -> Result<(), String> {
        Ok(())
    }
    fn custom(payload: Vec<u8>) -> Result<Vec<u8>, String> {
        Ok(payload)
    }
}

export!(Both);
