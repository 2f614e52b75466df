// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! QuickJS with one function in it.

use std::rc::Rc;

use rquickjs::function::IntoArgs;
use rquickjs::{
    CatchResultExt, CaughtError, Context, Ctx, FromJs, Function, Module as Script, Object, Persistent, Promise,
    Runtime, TypedArray, Value,
};

use crate::bindings::exports::functionstream::packed::function::{Metadata, Module};
use crate::files::{ENGINE, File, Files, Imports};
use crate::natives;

/// Bytes of the stack that JavaScript may use. It is measured on the stack in linear memory; that of the compiled code, of which the
/// host gives 1 MiB, grows several times as fast.
const STACK: usize = 200 << 10;

/// Which record failed, if it is not known.
const NONE: u32 = u32::MAX;

/// A call failed: what is told of it.
pub(crate) struct Failure {
    pub(crate) message: String,
    /// The index of the record or timer.
    pub(crate) index: u32,
    /// Nothing is left of it.
    pub(crate) undone: bool,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Failure { message: message.into(), index: NONE, undone: false }
    }
}

/// A machine whose function is loaded.
pub(crate) struct Vm {
    context: Context,
    /// What engine.js answers calls with.
    calls: Persistent<Object<'static>>,
}

impl Vm {
    /// Loads the function that an entry names from its files.
    pub(crate) fn load(entry: &str, files: Vec<File>) -> Result<Self, Failure> {
        let files = Rc::new(Files::new(files));
        let (file, name) = entry.split_once(':').map_or((entry, None), |(file, name)| (file, Some(name)));
        let file = match (file, name) {
            ("", Some(name)) => files.defining(name).map_err(Failure::new)?,
            (file, _) => file,
        };
        let broken = |error| Failure::new(format!("the engine cannot start: {error}"));
        let runtime = Runtime::new().map_err(broken)?;
        runtime.set_max_stack_size(STACK);
        runtime.set_loader(Imports(files.clone()), Imports(files.clone()));
        natives::rejections::watch(&runtime);
        let context = Context::full(&runtime).map_err(broken)?;
        let calls = context.with(|ctx| {
            let calls = start(&ctx, &files).catch(&ctx).map_err(|error| Failure::new(shown(&error)))?;
            let loaded = evaluate(&ctx, file).catch(&ctx);
            let outcome = match loaded {
                Ok(namespace) => invoke(&ctx, &calls, "load", (namespace, file, name)),
                Err(CaughtError::Error(error)) => return Err(broken(error)),
                Err(CaughtError::Exception(error)) => invoke(&ctx, &calls, "unloadable", (error.into_value(),)),
                Err(CaughtError::Value(value)) => invoke(&ctx, &calls, "unloadable", (value,)),
            };
            outcome.map(|()| Persistent::save(&ctx, calls))
        })?;
        Ok(Vm { context, calls })
    }

    pub(crate) fn init(&self, config: Vec<(String, String)>, metadata: &Metadata) -> Result<(), Failure> {
        self.call(|ctx, calls| {
            let pairs: Vec<_> = config.into_iter().map(|(name, value)| vec![name, value]).collect();
            let (high, low) = natives::halves(metadata.revision);
            let args = (pairs, metadata.name.clone(), high, low, metadata.task_index, metadata.outputs.clone());
            invoke(ctx, calls, "init", args)
        })
    }

    /// A call that takes a frame.
    pub(crate) fn frame(&self, name: &str, frame: Vec<u8>) -> Result<(), Failure> {
        self.call(|ctx, calls| invoke(ctx, calls, name, (bytes(ctx, frame)?,)))
    }

    pub(crate) fn process_watermark(&self, source: u32, watermark: u64) -> Result<(), Failure> {
        let (high, low) = natives::halves(watermark);
        self.call(|ctx, calls| invoke(ctx, calls, "processWatermark", (source, high, low)))
    }

    pub(crate) fn take_checkpoint(&self, checkpoint: u64) -> Result<(), Failure> {
        let (high, low) = natives::halves(checkpoint);
        self.call(|ctx, calls| invoke(ctx, calls, "takeCheckpoint", (high, low)))
    }

    pub(crate) fn check_heartbeat(&self) -> Result<bool, Failure> {
        self.call(|ctx, calls| invoke(ctx, calls, "checkHeartbeat", ()))
    }

    pub(crate) fn close(&self) -> Result<(), Failure> {
        self.call(|ctx, calls| invoke(ctx, calls, "close", ()))
    }

    pub(crate) fn exec(&self, class_name: &str, modules: Vec<Module>) -> Result<(), Failure> {
        self.call(|ctx, calls| {
            let mut given = Vec::with_capacity(modules.len());
            for module in modules {
                let object = Object::new(ctx.clone()).map_err(|error| told(ctx, error))?;
                let set =
                    object.set("name", module.name).and_then(|()| object.set("bytes", bytes_of(ctx, module.bytes)?));
                set.map_err(|error| told(ctx, error))?;
                given.push(object);
            }
            invoke(ctx, calls, "exec", (class_name, given))
        })
    }

    pub(crate) fn custom(&self, payload: Vec<u8>) -> Result<Vec<u8>, Failure> {
        self.call(|ctx, calls| {
            let answer: TypedArray<'_, u8> = invoke(ctx, calls, "custom", (bytes(ctx, payload)?,))?;
            Ok(natives::slice(&answer).to_vec())
        })
    }

    fn call<R>(&self, run: impl for<'js> FnOnce(&Ctx<'js>, &Object<'js>) -> Result<R, Failure>) -> Result<R, Failure> {
        self.context.with(|ctx| {
            let calls = self.calls.clone().restore(&ctx).map_err(|error| told(&ctx, error))?;
            run(&ctx, &calls)
        })
    }
}

/// Starts engine.js and returns its calls.
fn start<'js>(ctx: &Ctx<'js>, files: &Rc<Files>) -> rquickjs::Result<Object<'js>> {
    let engine = evaluate(ctx, ENGINE)?;
    let start: Function<'js> = engine.get("start")?;
    start.call((natives::natives(ctx, files)?,))
}

/// Runs a module, and all that it imports, to its end, and returns what it exports.
fn evaluate<'js>(ctx: &Ctx<'js>, file: &str) -> rquickjs::Result<Object<'js>> {
    let promise: Promise<'js> = Script::import(ctx, file)?;
    natives::drain(ctx);
    // The module's own is among them.
    let rejected = natives::rejections::take(ctx).into_iter().next();
    if let (Some(reason), Some(Ok(()))) = (rejected, promise.result::<()>()) {
        return Err(ctx.throw(reason));
    }
    promise.result().unwrap_or_else(|| {
        let message = format!("'{file}' waits for something that nobody does");
        Err(rquickjs::Exception::throw_message(ctx, &message))
    })
}

/// Calls one of engine.js's functions. It answers with an object: `value`, or `message`, `index` and `undone`.
fn invoke<'js, R: FromJs<'js>>(
    ctx: &Ctx<'js>,
    calls: &Object<'js>,
    name: &str,
    args: impl IntoArgs<'js>,
) -> Result<R, Failure> {
    let answered = || -> rquickjs::Result<Result<R, Failure>> {
        let answer: Object<'js> = calls.get::<_, Function<'js>>(name)?.call(args)?;
        let message: Option<String> = answer.get("message")?;
        Ok(match message {
            None => Ok(answer.get("value")?),
            Some(message) => Err(Failure { message, index: answer.get("index")?, undone: answer.get("undone")? }),
        })
    };
    answered().unwrap_or_else(|error| Err(told(ctx, error)))
}

fn bytes_of<'js>(ctx: &Ctx<'js>, bytes: Vec<u8>) -> rquickjs::Result<TypedArray<'js, u8>> {
    TypedArray::new(ctx.clone(), bytes)
}

fn bytes<'js>(ctx: &Ctx<'js>, bytes: Vec<u8>) -> Result<Value<'js>, Failure> {
    bytes_of(ctx, bytes).map(TypedArray::into_value).map_err(|error| told(ctx, error))
}

/// The failure of what the engine itself does, such as to find memory.
fn told(ctx: &Ctx<'_>, error: rquickjs::Error) -> Failure {
    Failure::new(shown(&CaughtError::from_error(ctx, error)))
}

fn shown(error: &CaughtError<'_>) -> String {
    match error {
        CaughtError::Exception(exception) => {
            let name = exception.get::<_, String>("name").unwrap_or_else(|_| "Error".to_owned());
            format!("{name}: {}", exception.message().unwrap_or_default())
        }
        error => error.to_string(),
    }
}
