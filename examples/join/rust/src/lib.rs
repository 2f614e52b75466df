// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Joins orders with their customers by the key of both. An order that comes before its customer waits in state.

use fnstream_sdk::states::{Keyed, ListState, ValueState};
use fnstream_sdk::{Config, Context, Error, Function, Json, Output, Record};
use serde::{Deserialize, Serialize};

/// The first input group; the second has the orders.
const CUSTOMERS: u32 = 0;

#[derive(Deserialize)]
struct Customer {
    name: String,
}

#[derive(Serialize, Deserialize)]
struct Order {
    item: String,
    price: i64,
}

/// What is emitted.
#[derive(Serialize)]
struct Joined<'a> {
    customer: &'a str,
    #[serde(flatten)]
    order: Order,
}

struct Join {
    names: Keyed<ValueState<String>>,
    waiting: Keyed<ListState<Json<Order>>>,
}

impl Function for Join {
    fn init(ctx: &mut Context, _: &Config) -> Result<Self, Error> {
        Ok(Join { names: Keyed::open(ctx, "names", b"")?, waiting: Keyed::open(ctx, "waiting", b"")? })
    }

    fn process(&mut self, ctx: &mut Context, record: Record<'_>) -> Result<(), Error> {
        let key = record.key.unwrap_or_default();
        let (name, waiting) = (self.names.of(key, b""), self.waiting.of(key, b""));
        let orders = if record.source == CUSTOMERS {
            let customer: Customer = serde_json::from_slice(record.bytes())?;
            name.set(&customer.name)?;
            let orders = waiting.get()?;
            waiting.clear()?;
            orders
        } else {
            vec![Json(serde_json::from_slice(record.bytes())?)]
        };
        let customer = name.get()?;
        for order in orders {
            match &customer {
                None => waiting.push(&order)?,
                Some(customer) => {
                    let joined = serde_json::to_vec(&Joined { customer, order: order.0 })?;
                    ctx.emit_record(Output::new(&joined).with_key(key))?;
                }
            }
        }
        Ok(())
    }
}

fnstream_sdk::export!(Join);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use fnstream_sdk::Record;
    use fnstream_sdk::testing::Harness;

    #[test]
    fn an_order_waits_for_its_customer() {
        let mut join = Harness::<super::Join>::new(&[]).unwrap();
        let of = |source, value: &'static str| {
            let mut record = Record::new(value.as_bytes()).with_key(b"7");
            record.source = source;
            record
        };
        join.process(&[of(1, r#"{"item":"pen","price":3}"#)]).unwrap();
        join.restart().unwrap();
        join.process(&[of(0, r#"{"name":"Ann"}"#), of(1, r#"{"item":"ink","price":5}"#)]).unwrap();
        let output = join.take_output();
        let joined: Vec<_> = output.iter().map(|record| std::str::from_utf8(record.bytes()).unwrap()).collect();
        let wanted = [r#"{"customer":"Ann","item":"pen","price":3}"#, r#"{"customer":"Ann","item":"ink","price":5}"#];
        assert_eq!(joined, wanted);
    }
}
