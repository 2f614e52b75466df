// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The packed world on the guest's side.

use std::marker::PhantomData;
use std::rc::Rc;

use fnstream_frame::PairList;

use crate::boundary::{Boundary, Page};
use crate::driver::{BatchFailure, Driver};
use crate::progress;
use crate::{Error, Function, Metadata, Module, TimeDomain};

#[allow(missing_docs, clippy::all, reason = "generated")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "packed-timers",
        pub_export_macro: true,
        default_bindings_module: "fnstream_sdk::__private::bindings",
        generate_all,
    });
}

use bindings::exports::functionstream::packed::function as exports;
use bindings::exports::functionstream::packed::timer_handler;
use bindings::functionstream::packed::{output, state, timers};

/// Where the one instance of a function is kept.
pub trait Slot: Function {
    /// Gives `run` the place of it, which is empty before `init`.
    fn with<R>(run: impl FnOnce(&mut Option<Driver<Self>>) -> R) -> R;
}

/// The component that a function is exported as.
pub struct Exported<F>(PhantomData<F>);

fn call<F: Slot, R>(run: impl FnOnce(&mut Driver<F>) -> Result<R, Error>) -> Result<R, String> {
    F::with(|driver| {
        let driver = driver.as_mut().ok_or_else(|| Error::new("the function was not initialized"))?;
        run(driver)
    })
    .map_err(Error::into_message)
}

/// A call that says which record of a frame failed.
fn call_with_frame<F: Slot>(
    run: impl FnOnce(&mut Driver<F>) -> Result<(), BatchFailure>,
) -> Result<(), exports::RecordError> {
    F::with(|driver| match driver {
        Some(driver) => run(driver),
        None => Err(BatchFailure::of_batch("the function was not initialized".to_owned())),
    })
    .map_err(|BatchFailure { index, message, undone }| {
        if undone {
            progress::at(progress::UNDONE);
        }
        exports::RecordError { index, message }
    })
}

impl<F: Slot> exports::Guest for Exported<F> {
    fn init(config: Vec<(String, String)>, metadata: exports::Metadata) -> Result<(), String> {
        let metadata = Metadata {
            name: metadata.name,
            revision: metadata.revision,
            task_index: metadata.task_index,
            outputs: metadata.outputs,
        };
        #[cfg(target_family = "wasm")]
        progress::show();
        let made = Driver::init(Rc::new(Wasm), &config.into_iter().collect(), metadata);
        F::with(|driver| made.map(|made| *driver = Some(made))).map_err(Error::into_message)
    }

    fn process_batch(frame: Vec<u8>) -> Result<(), exports::RecordError> {
        call_with_frame::<F>(|driver| driver.process_batch(&frame))
    }

    fn process_watermark(source: u32, watermark: u64) -> Result<(), String> {
        call::<F, _>(|driver| driver.call(|function, ctx| function.process_watermark(ctx, source, watermark)))
    }

    fn take_checkpoint(checkpoint_id: u64) -> Result<(), String> {
        call::<F, _>(|driver| driver.call(|function, ctx| function.take_checkpoint(ctx, checkpoint_id)))
    }

    fn check_heartbeat() -> bool {
        // An error here can only come from passing on what the check itself did.
        call::<F, _>(|driver| driver.call(|function, ctx| Ok(function.check_heartbeat(ctx)))).unwrap_or(false)
    }

    fn close() -> Result<(), String> {
        call::<F, _>(|driver| driver.call(|function, ctx| function.close(ctx)))
    }

    fn exec(class_name: String, modules: Vec<exports::Module>) -> Result<(), String> {
        let modules = modules.into_iter().map(|module| Module { name: module.name, bytes: module.bytes }).collect();
        call::<F, _>(|driver| driver.exec(&class_name, modules))
    }

    fn custom(payload: Vec<u8>) -> Result<Vec<u8>, String> {
        call::<F, _>(|driver| driver.call(|function, ctx| function.custom(ctx, payload)))
    }
}

impl<F: Slot> timer_handler::Guest for Exported<F> {
    fn on_timers(frame: Vec<u8>) -> Result<(), exports::RecordError> {
        call_with_frame::<F>(|driver| driver.on_timers(&frame))
    }
}

/// The host's own interfaces.
struct Wasm;

impl Boundary for Wasm {
    fn emit_frame(&self, frame: &[u8]) -> Result<(), String> {
        output::emit_frame(frame)
    }

    fn emit_watermark(&self, target: u32, watermark: u64) -> Result<(), String> {
        output::emit_watermark(target, watermark)
    }

    fn set_timer(&self, domain: TimeDomain, key: &[u8], at: i64) -> Result<(), String> {
        timers::set(domain.into(), key, at)
    }

    fn delete_timer(&self, domain: TimeDomain, key: &[u8]) -> Result<(), String> {
        timers::delete(domain.into(), key)
    }

    fn open(&self, name: &str) -> Result<u32, String> {
        state::open(name).map_err(message)
    }

    fn get(&self, store: u32, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        state::get(store, key).map_err(message)
    }

    fn write(&self, store: u32, ops: &[u8]) -> Result<(), String> {
        state::write(store, ops).map_err(message)
    }

    fn scan(&self, store: u32, start: &[u8], end: Option<&[u8]>, max_bytes: u32) -> Result<Page, String> {
        let page = state::scan(store, start, end, max_bytes).map_err(message)?;
        let mut pairs = Vec::new();
        PairList::read(&page.pairs, |key, value| pairs.push((key.to_vec(), value.to_vec())))
            .map_err(|e| e.to_string())?;
        Ok((pairs, page.next))
    }
}

impl From<TimeDomain> for timers::Domain {
    fn from(domain: TimeDomain) -> Self {
        match domain {
            TimeDomain::Event => timers::Domain::EventTime,
            TimeDomain::Processing => timers::Domain::ProcessingTime,
        }
    }
}

fn message(error: state::Error) -> String {
    match error {
        state::Error::InvalidName(message) | state::Error::InvalidKey(message) | state::Error::Malformed(message) => {
            message
        }
    }
}

/// Makes a type that implements [`Function`] the function of this component.
///
/// ```
/// # use fnstream_sdk::{Config, Context, Error, Function, Record};
/// struct PassThrough;
///
/// impl Function for PassThrough {
///     fn init(_: &mut Context, _: &Config) -> Result<Self, Error> {
///         Ok(PassThrough)
///     }
///
///     fn process(&mut self, ctx: &mut Context, record: Record<'_>) -> Result<(), Error> {
///         ctx.emit_record(record.into())
///     }
/// }
///
/// fnstream_sdk::export!(PassThrough);
/// ```
#[macro_export]
macro_rules! export {
    ($function:ty) => {
        const _: () = {
            ::std::thread_local! {
                static DRIVER: ::std::cell::RefCell<::std::option::Option<$crate::__private::Driver<$function>>> =
                    const { ::std::cell::RefCell::new(::std::option::Option::None) };
            }

            impl $crate::__private::Slot for $function {
                fn with<R>(run: impl FnOnce(&mut ::std::option::Option<$crate::__private::Driver<Self>>) -> R) -> R {
                    DRIVER.with_borrow_mut(run)
                }
            }

            // Without exports nobody seems to use the function, and the compiler would say so.
            #[cfg(not(target_family = "wasm"))]
            #[used]
            static USED: fn(&mut $crate::Context, &$crate::Config) -> ::std::result::Result<$function, $crate::Error> =
                <$function as $crate::Function>::init;

            // A component's symbols have names that native linkers do not take, and a test does not need.
            #[cfg(target_family = "wasm")]
            type Component = $crate::__private::Exported<$function>;
            #[cfg(target_family = "wasm")]
    $crate::__private::bindings::export!(Component with_types_in $crate::__private::bindings);
        };
    };
}
