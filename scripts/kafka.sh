#!/usr/bin/env bash
# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

# Runs a real Apache Kafka broker on this machine for the tests that need one. Its jars come from Maven Central and are kept
# in the cache folder.
#
#   start   starts the broker, waits until it answers, and prints its bootstrap address; does nothing if it runs
#   stop    stops it in order; its data stays
#   wipe    stops it and removes its data
#   env     prints the addresses, users and files of the broker as shell assignments
#
# usage: scripts/kafka.sh start | stop | wipe | env [--at FOLDER] [--port PORT] [--long]
#   --at     where the broker keeps its data, its log and its pid; by default a folder of the cache. A test that kills the
#            broker gives it a folder of its own.
#   --port   the first of the four ports that it listens at; by default the first that is free. A folder keeps its ports.
#   --long   for a broker that is measured, or runs for long: with all that Java makes faster in time, and more memory. Without, it
#            is up quickly and takes little of the processors that the tests need.
#
# Listeners, all of 127.0.0.1: plaintext at PORT, for everybody and with all rights; the controller at PORT + 1; SASL
# (PLAIN, SCRAM-SHA-256, SCRAM-SHA-512) without TLS at PORT + 2; TLS at PORT + 3, with a certificate of a CA of its own. The
# user 'admin' has all rights, the user 'guest' has none.
#
# Exit codes: 0, 1 if something failed, 3 if Java (17 or later) or Maven is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

version=4.4.0
home="${FNSTREAM_KAFKA_HOME:-$HOME/.cache/function-stream/kafka}"
lib="$home/$version/lib"
at="$home/broker" port=''
java_options=(-Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1)
# Longer than a start on a busy machine takes; only so that a fault ends it.
patience=120

fail() {
    echo "kafka: $1" >&2
    exit "${2:-1}"
}

have() { command -v "$1" >/dev/null 2>&1; }

command=${1:-}
[ $# -eq 0 ] || shift
while [ $# -gt 0 ]; do
    case $1 in
        --at) at=${2:?--at needs a folder} ;;
        --port) port=${2:?--port needs a number} ;;
        --long) java_options=(-Xmx1g) && shift && continue ;;
        *) fail "unknown argument '$1'" ;;
    esac
    shift 2
done
mkdir -p "$at" "$home"
at=$(cd "$at" && pwd)

# One of these at a time for each broker; the broker itself must not inherit the lock.
exec 8>"$home/lock" 9>"$at/lock"
flock 9

check_tools() {
    local major
    have java || fail "Java is missing: install a JDK or JRE of version 17 or later (Debian: openjdk-17-jre-headless)" 3
    major=$(java -XshowSettings:properties -version 2>&1 | sed -n 's/.*java.specification.version = //p')
    [ "${major%%.*}" -ge 17 ] || fail "Java $major is too old: Kafka $version needs 17 or later" 3
    java=$(java -XshowSettings:properties -version 2>&1 | sed -n 's/.*java.vm.version = //p')
    [ -d "$lib" ] || have mvn || fail "Maven is missing, which fetches Kafka (Debian: maven)" 3
    have openssl || fail "openssl is missing, which makes the broker's certificates (Debian: openssl)" 3
}

# The jars, once for all brokers.
install_jars() {
    flock 8
    if [ ! -d "$lib" ]; then
        echo "kafka: fetching Kafka $version into $home" >&2
        local work="$home/$version/fetching"
        rm -rf "$work"
        mkdir -p "$work"
        cat >"$work/pom.xml" <<END
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
  <groupId>functionstream</groupId><artifactId>kafka-for-tests</artifactId><version>1</version><dependencies>
  <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$version</version></dependency>
  <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
</dependencies></project>
END
        mvn -q -B -f "$work/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
            -DincludeScope=runtime -DoutputDirectory="$work/lib" >"$work/mvn.log" 2>&1 </dev/null ||
            { tail -n 20 "$work/mvn.log" >&2 && fail "Maven could not fetch Kafka $version"; }
        mv "$work/lib" "$lib"
        rm -rf "$work"
    fi
    flock -u 8
}

# The process of this folder, if it lives: a number may have been given to another process since.
running() {
    local pid
    pid=$(cat "$at/pid" 2>/dev/null) && [ -n "$pid" ] && [[ $(ps -o args= -p "$pid" 2>/dev/null) == *"$at/server.properties"* ]]
}

is_open() { (exec 7<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# The first of four ports that nobody listens at.
choose_port() {
    local first=${port:-29092}
    while is_open "$first" || is_open $((first + 1)) || is_open $((first + 2)) || is_open $((first + 3)); do
        [ -z "$port" ] || fail "one of the ports $port to $((port + 3)) is in use"
        first=$((first + 10))
        [ "$first" -lt 60000 ] || fail "no free ports"
    done
    echo "$first" >"$at/port"
}

# A CA and a certificate for 127.0.0.1, in the form that both Kafka and librdkafka read.
make_certificates() {
    local tls="$at/tls"
    [ ! -s "$tls/server.pem" ] || return 0
    mkdir -p "$tls"
    {
        openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=function-stream-test-ca \
            -keyout "$tls/ca.key" -out "$tls/ca.pem"
        openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout "$tls/server.key" -out "$tls/server.csr"
        openssl x509 -req -in "$tls/server.csr" -CA "$tls/ca.pem" -CAkey "$tls/ca.key" -CAcreateserial -days 3650 \
            -extfile <(echo 'subjectAltName=IP:127.0.0.1,DNS:localhost') -out "$tls/server.crt"
    } 2>"$tls/openssl.log" || { cat "$tls/openssl.log" >&2 && fail "openssl could not make the certificates"; }
    cat "$tls/server.key" "$tls/server.crt" >"$tls/server.pem"
}

write_settings() {
    local plain='org.apache.kafka.common.security.plain.PlainLoginModule required'
    cat >"$at/server.properties" <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((port + 1))
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1)),SASL://127.0.0.1:$((port + 2)),SSL://127.0.0.1:$((port + 3))
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT,SSL:SSL
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=$at/data
# Tests make their topics: a name that is written wrongly is to be an error.
auto.create.topics.enable=false
num.partitions=1
# Tests stamp records with moments long ago, and say themselves what is to be dropped.
log.retention.ms=-1
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# What takes seconds in production is quick here.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
broker.session.timeout.ms=9000
broker.heartbeat.interval.ms=500
log.cleaner.backoff.ms=1000
# Who may do what.
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:admin
allow.everyone.if.no.acl.found=false
listener.name.sasl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl.plain.sasl.jaas.config=$plain user_admin="admin-secret" user_guest="guest-secret";
listener.name.sasl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.ssl.ssl.keystore.type=PEM
listener.name.ssl.ssl.keystore.location=$at/tls/server.pem
listener.name.ssl.ssl.client.auth=none
END
}

format() {
    [ ! -s "$at/data/meta.properties" ] || return 0
    local scram=() user
    for user in admin guest; do
        scram+=(--add-scram "SCRAM-SHA-256=[name=$user,password=$user-secret]"
            --add-scram "SCRAM-SHA-512=[name=$user,password=$user-secret]")
    done
    java -cp "$lib/*" kafka.tools.StorageTool format -t "$(java -cp "$lib/*" kafka.tools.StorageTool random-uuid 2>/dev/null)" \
        -c "$at/server.properties" "${scram[@]}" >"$at/format.log" 2>&1 8>&- 9>&- ||
        { tail -n 20 "$at/format.log" >&2 && fail "the broker's folder $at could not be formatted"; }
}

start() {
    if running; then
        echo "127.0.0.1:$(cat "$at/port")"
        return
    fi
    check_tools
    install_jars
    # Until it listens, nobody else chooses ports.
    flock 8
    [ -s "$at/port" ] || choose_port
    port=$(cat "$at/port")
    make_certificates
    write_settings
    format
    # With the classes of an earlier run in an archive it is up in a second instead of six.
    local archive="$home/$version/classes-$java.jsa" share=()
    if [ -s "$archive" ]; then
        share=(-XX:SharedArchiveFile="$archive")
    else
        share=(-XX:ArchiveClassesAtExit="$at/classes.jsa")
    fi
    : >"$at/log"
    setsid java "${java_options[@]}" "${share[@]}" -Xlog:cds=off -Xlog:cds+dynamic=off \
        -cp "$lib/*" kafka.Kafka "$at/server.properties" \
        >>"$at/log" 2>&1 </dev/null 8>&- 9>&- &
    local pid=$!
    echo "$pid" >"$at/pid"
    if ! timeout "$patience" grep -q -m1 'Kafka Server started' <(tail -n +1 -F --pid="$pid" "$at/log" 2>/dev/null 8>&- 9>&-); then
        tail -n 30 "$at/log" >&2
        kill -9 "$pid" 2>/dev/null || true
        fail "the broker did not start within $patience s; its log is $at/log"
    fi
    is_open "$port" || fail "the broker says that it started, but does not listen at port $port"
    echo "127.0.0.1:$port"
}

stop() {
    running || return 0
    local pid
    pid=$(cat "$at/pid")
    kill "$pid" 2>/dev/null || true
    timeout "$patience" tail -f /dev/null --pid="$pid" || kill -9 "$pid" 2>/dev/null || true
    rm -f "$at/pid"
    if [ -s "$at/classes.jsa" ]; then
        check_tools
        # Whole or not at all: another broker may start meanwhile.
        local archive="$home/$version/classes-$java.jsa"
        mv "$at/classes.jsa" "$archive.$$"
        mv "$archive.$$" "$archive"
    fi
}

case $command in
    start) start ;;
    stop) stop ;;
    wipe)
        stop
        # The lock stays, for whoever waits for it.
        rm -rf "$at/data" "$at/tls" "$at/log" "$at/format.log" "$at/port" "$at/server.properties"
        ;;
    env)
        [ -s "$at/port" ] || fail "no broker was started in $at"
        port=$(cat "$at/port")
        echo "FNSTREAM_KAFKA=127.0.0.1:$port"
        echo "FNSTREAM_KAFKA_SASL=127.0.0.1:$((port + 2))"
        echo "FNSTREAM_KAFKA_SSL=127.0.0.1:$((port + 3))"
        echo "FNSTREAM_KAFKA_CA=$at/tls/ca.pem"
        ;;
    *) fail "usage: scripts/kafka.sh start | stop | wipe | env [--at FOLDER] [--port PORT]" ;;
esac
