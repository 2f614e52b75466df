# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""Writes and reads topics of Apache Pulsar with schemas, by a client that has nothing of ours.

    schemas.py create ADMIN PARTITIONS TOPIC...      makes topics in a namespace that refuses producers without a schema, once a topic has one
    schemas.py define ADMIN TOPIC KIND VERSION       gives a topic a schema
    schemas.py allow ADMIN TOPIC STRATEGY            says which schemas the topic's namespace takes
    schemas.py write URL TOPIC KIND VERSION COUNT [--first N]
                                                     appends the records N to N + COUNT with a schema
    schemas.py copied URL ADMIN INPUT OUTPUT KIND    each record comes as it is, once, with the same schema
    schemas.py read URL ADMIN TOPIC KIND             what the records of a topic are

KIND is `avro` or `json`. A person of version 1 has a name and money, one of version 2 a currency as well, and one of version 3, which fits
neither, has text for money. What is found is one line of JSON.
"""

import argparse
import collections
import json

import pulsar
from client import EPOCH, admin, connect, create, messages
from pulsar.schema import AvroSchema, JsonSchema, Long, Record, String

KINDS = {"avro": AvroSchema, "json": JsonSchema}


def person(version):
    """The record of a version. All of them have one name, as Avro wants it."""
    fields = {"name": String(required=True), "money": Long(required=True)}
    if version == 2:
        fields["currency"] = String(required=True, default="eur", required_default=True)
    if version == 3:
        fields["money"] = String(required=True)
    return type("Person", (Record,), fields)


def values(version, number):
    more = {"currency": f"c{number % 7}"} if version == 2 else {}
    return {"name": f"{number}-x", "money": number % 1_000, **more}


def write(url, topic, kind, version, count, first):
    of, client = person(version), connect(url)
    producer = client.create_producer(topic, schema=KINDS[kind](of), batching_max_publish_delay_ms=5, block_if_queue_full=True)
    refused = []
    for number in range(first, first + count):
        producer.send_async(
            of(**values(version, number)),
            lambda result, _: refused.append(result) if result != pulsar.Result.Ok else None,
            partition_key=f"key{number % 50}",
            properties={"number": str(number), "text": "ä"},
            event_timestamp=EPOCH + number,
        )
    producer.flush()
    client.close()
    if refused:
        raise RuntimeError(f"{len(refused)} of {count} records were refused: {refused[0]}")
    return {"records": count}


class Schemas:
    """The definitions behind the versions of a topic."""

    def __init__(self, url, topic):
        self.url, self.topic, self.known = url, topic, {}

    def of(self, message):
        version = message.schema_version()
        if not version:
            return None
        if isinstance(version, str):
            version = version.encode("latin-1")
        number = int.from_bytes(version, "big")
        if number not in self.known:
            found = admin(self.url, "GET", f"schemas/{self.topic}/schema/{number}")
            self.known[number] = (found["type"], found["data"]) if found else f"no version {number}"
        return self.known[number]


def seen(client, url, topic):
    """All of each record that is to stay."""
    schemas = Schemas(url, topic)
    for _, message in messages(client, topic):
        properties = tuple(sorted(message.properties().items()))
        yield message.partition_key(), properties, message.event_timestamp(), message.data(), schemas.of(message)


def decoded(client, topic, kind):
    """How many records a consumer of the newest version reads, and how many of them it reads wrongly."""
    consumer = client.subscribe(
        topic, "reads", schema=KINDS[kind](person(2)), initial_position=pulsar.InitialPosition.Earliest
    )
    count, wrong = 0, 0
    try:
        while True:
            message = consumer.receive(2_000)
            number, value = int(message.properties()["number"]), message.value()
            wanted = values(2, number)
            same = (value.name, value.money) == (wanted["name"], wanted["money"])
            # A record of version 1 has none, for which Avro gives the default.
            same &= value.currency in (wanted["currency"], "eur" if kind == "avro" else None, "eur")
            count, wrong = count + 1, wrong + (not same)
    except pulsar.Timeout:
        return count, wrong


def copied(url, admin_url, source, target, kind):
    client = connect(url)
    wanted = collections.Counter(seen(client, admin_url, source))
    found = collections.Counter(seen(client, admin_url, target))
    count, wrong = decoded(client, target, kind)
    client.close()
    schemas = {schema for *_, schema in found}
    return {
        "inputs": wanted.total(),
        "outputs": found.total(),
        "lost": (wanted - found).total(),
        "strange": (found - wanted).total(),
        "schemas": len(schemas - {None}),
        "without": sum(times for (*_, schema), times in found.items() if schema is None),
        "decoded": count,
        "undecodable": wrong,
    }


def read(url, admin_url, topic, kind):
    client = connect(url)
    found = collections.Counter(seen(client, admin_url, topic))
    client.close()
    names = {json.loads(data)["name"] for _, _, _, data, _ in found} if kind == "json" else set()
    with_schema = sum(times for (*_, schema), times in found.items() if isinstance(schema, tuple))
    return {"records": found.total(), "names": len(names), "with_schema": with_schema}


def within(topic):
    return topic.rsplit("/", 1)[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for command, names in {
        "create": ["url", "partitions", "topics"],
        "define": ["url", "topic", "kind", "version"],
        "allow": ["url", "topic", "strategy"],
        "write": ["url", "topic", "kind", "version", "count"],
        "copied": ["url", "admin_url", "source", "target", "kind"],
        "read": ["url", "admin_url", "topic", "kind"],
    }.items():
        of = commands.add_parser(command)
        for name in names:
            of.add_argument(name, **({"nargs": "+"} if name == "topics" else {}), **({"type": int} if name in ("partitions", "version", "count") else {}))
        if command == "write":
            of.add_argument("--first", type=int, default=0)
    said = vars(parser.parse_args())
    command, url = said.pop("command"), said["url"]
    if command == "create":
        for topic in said["topics"]:
            create(url, topic, said["partitions"])
        admin(url, "POST", f"namespaces/{within(topic)}/schemaValidationEnforced", True)
    elif command == "define":
        schema = KINDS[said["kind"]](person(said["version"]))
        info = schema.schema_info()
        body = {"type": said["kind"].upper(), "schema": info.schema(), "properties": {}}
        admin(url, "POST", f"schemas/{said['topic']}/schema", body)
    elif command == "allow":
        admin(url, "PUT", f"namespaces/{within(said['topic'])}/schemaCompatibilityStrategy", said["strategy"])
    else:
        print(json.dumps({"write": write, "copied": copied, "read": read}[command](**said)))


if __name__ == "__main__":
    main()
