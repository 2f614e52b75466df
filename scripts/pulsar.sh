#!/usr/bin/env bash
# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

# Runs a real Apache Pulsar broker on this machine for the tests that need one: broker, bookie and metadata in one process. Its jars
# come from Maven Central and are kept in the cache folder.
#
#   start   starts the broker, waits until it answers, and prints its service URL; does nothing if it runs
#   stop    stops it in order; its data stays
#   wipe    stops it and removes its data
#   env     prints the addresses, tokens and files of the broker as shell assignments
#
# usage: scripts/pulsar.sh start | stop | wipe | env [--at FOLDER] [--port PORT] [--long] [--state]
#   --at     where the broker keeps its data, its log and its pid; by default a folder of the cache. A test that kills the
#            broker gives it a folder of its own.
#   --port   the first of the seven ports that it listens at; by default the first that is free. A folder keeps its ports.
#   --long   for a broker that is measured, or runs for long: with all that Java makes faster in time, and more memory. Without, it
#            is up quickly and takes little of the processors that the tests need.
#   --state  with the table service that keeps the state of Pulsar Functions, which needs ZooKeeper. To be said at each start of a
#            folder, or never.
#
# Listeners, all of 127.0.0.1: Pulsar's protocol at PORT; the admin API at PORT + 1; both with TLS at PORT + 2 and PORT + 3, with a
# certificate of a CA of its own; the bookie at PORT + 4. With --state also the table service at PORT + 5 and ZooKeeper at PORT + 6,
# and these two at all addresses of the machine, since Pulsar gives no choice.
#
# A client without a token has all rights, as has one with the token of 'admin'. The token of 'guest' is good, but has no rights; a
# third token is expired. The admin API takes a client with a bad or expired token for one without, unless the request also says
# 'X-Pulsar-Auth-Method-Name: token'.
#
# Exit codes: 0, 1 if something failed, 3 if Java (17 or later) or Maven is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

# Another release is for trying it: FNSTREAM_PULSAR_VERSION=4.2.4.
version=${FNSTREAM_PULSAR_VERSION:-4.0.8}
home="${FNSTREAM_PULSAR_HOME:-$HOME/.cache/function-stream/pulsar}"
at="$home/broker" port=''
java_options=(-Xms64m -Xmx384m -XX:MaxDirectMemorySize=256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1)
state=no
# Of the bookie, in MiB.
write_cache=32 read_cache=16 journal=32
# Longer than a start on a busy machine takes; only so that a fault ends it.
patience=120

fail() {
    echo "pulsar: $1" >&2
    exit "${2:-1}"
}

have() { command -v "$1" >/dev/null 2>&1; }

command=${1:-}
[ $# -eq 0 ] || shift
while [ $# -gt 0 ]; do
    case $1 in
        --at) at=${2:?--at needs a folder} ;;
        --port) port=${2:?--port needs a number} ;;
        --long)
            java_options=(-Xmx1g -XX:MaxDirectMemorySize=1g) write_cache=256 read_cache=128 journal=256
            shift && continue
            ;;
        --state) state=yes && shift && continue ;;
        *) fail "unknown argument '$1'" ;;
    esac
    shift 2
done
mkdir -p "$at" "$home"
at=$(cd "$at" && pwd)
home=$(cd "$home" && pwd)
lib="$home/$version/lib"

# One of these at a time for each broker; the broker itself must not inherit the lock.
exec 8>"$home/lock" 9>"$at/lock"
flock 9

check_tools() {
    local major
    have java || fail "Java is missing: install a JDK or JRE of version 17 or later (Debian: openjdk-17-jre-headless)" 3
    major=$(java -XshowSettings:properties -version 2>&1 | sed -n 's/.*java.specification.version = //p')
    [ "${major%%.*}" -ge 17 ] || fail "Java $major is too old: Pulsar $version needs 17 or later" 3
    java=$(java -XshowSettings:properties -version 2>&1 | sed -n 's/.*java.vm.version = //p')
    [ -d "$lib" ] || have mvn || fail "Maven is missing, which fetches Pulsar (Debian: maven)" 3
    have openssl || fail "openssl is missing, which makes the broker's certificates and tokens (Debian: openssl)" 3
}

# The jars, once for all brokers. The distribution is the only artifact that holds all of them.
install_jars() {
    flock 8
    if [ ! -d "$lib" ]; then
        echo "pulsar: fetching Pulsar $version (245 MB) into $home" >&2
        local work="$home/$version/fetching"
        rm -rf "$work"
        mkdir -p "$work"
        cat >"$work/pom.xml" <<END
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
  <groupId>functionstream</groupId><artifactId>pulsar-for-tests</artifactId><version>1</version>
</project>
END
        # With a repository of its own, so that the distribution does not stay in the user's.
        mvn -q -B -f "$work/pom.xml" -Dmaven.repo.local="$work/repository" \
            org.apache.maven.plugins:maven-dependency-plugin:3.8.1:unpack \
            -Dartifact="org.apache.pulsar:pulsar-server-distribution:$version:tar.gz:bin" \
            -Dmdep.unpack.includes='*/lib/*' -DoutputDirectory="$work/unpacked" >"$work/mvn.log" 2>&1 </dev/null ||
            { tail -n 20 "$work/mvn.log" >&2 && fail "Maven could not fetch Pulsar $version"; }
        mv "$work/unpacked/apache-pulsar-$version/lib" "$lib"
        rm -rf "$work"
    fi
    flock -u 8
}

# The process of this folder, if it lives: a number may have been given to another process since.
running() {
    local pid
    pid=$(cat "$at/pid" 2>/dev/null) && [ -n "$pid" ] && [[ $(ps -o args= -p "$pid" 2>/dev/null) == *"$at/standalone.conf"* ]]
}

is_open() { (exec 7<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Whether somebody listens at one of the seven ports from this one on.
is_taken() {
    local next
    for next in {0..6}; do
        ! is_open $(($1 + next)) || return 0
    done
    return 1
}

choose_port() {
    local first=${port:-26650}
    while is_taken "$first"; do
        [ -z "$port" ] || fail "one of the ports $port to $((port + 6)) is in use"
        first=$((first + 10))
        [ "$first" -lt 60000 ] || fail "no free ports"
    done
    echo "$first" >"$at/port"
}

# A CA and a certificate for 127.0.0.1.
make_certificates() {
    local tls="$at/tls"
    [ ! -s "$tls/server.crt" ] || return 0
    mkdir -p "$tls"
    {
        openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=function-stream-test-ca \
            -keyout "$tls/ca.key" -out "$tls/ca.pem"
        openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout "$tls/server.key" -out "$tls/server.csr"
        openssl x509 -req -in "$tls/server.csr" -CA "$tls/ca.pem" -CAkey "$tls/ca.key" -CAcreateserial -days 3650 \
            -extfile <(echo 'subjectAltName=IP:127.0.0.1,DNS:localhost') -out "$tls/server.crt"
    } 2>"$tls/openssl.log" || { cat "$tls/openssl.log" >&2 && fail "openssl could not make the certificates"; }
}

base64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }

# A JSON web token of the secret, with these claims.
token() {
    local body
    body="$(printf '{"alg":"HS256","typ":"JWT"}' | base64url).$(printf '%s' "$1" | base64url)"
    echo "$body.$(printf '%s' "$body" | openssl dgst -sha256 -hmac "$(cat "$at/tokens/secret")" -binary | base64url)"
}

make_tokens() {
    [ ! -s "$at/tokens/expired" ] || return 0
    mkdir -p "$at/tokens"
    openssl rand -hex 32 | tr -d '\n' >"$at/tokens/secret"
    token '{"sub":"admin"}' >"$at/tokens/admin"
    token '{"sub":"guest"}' >"$at/tokens/guest"
    token '{"sub":"admin","exp":1000000000}' >"$at/tokens/expired"
}

write_settings() {
    cat >"$at/standalone.conf" <<END
clusterName=standalone
bindAddress=127.0.0.1
advertisedAddress=127.0.0.1
brokerServicePort=$port
webServicePort=$((port + 1))
brokerServicePortTls=$((port + 2))
webServicePortTls=$((port + 3))
# Without both of these the bookie listens at all addresses, at a port of its own choice.
listeningInterface=lo
allowEphemeralPorts=true
allowLoopback=true
loadManagerClassName=org.apache.pulsar.broker.loadbalance.NoopLoadManager
loadBalancerEnabled=false
defaultNumberOfNamespaceBundles=1
managedLedgerDefaultEnsembleSize=1
managedLedgerDefaultWriteQuorum=1
managedLedgerDefaultAckQuorum=1
# As users' brokers have it; a test that needs it asks for it in a namespace of its own.
brokerDeduplicationEnabled=false
systemTopicEnabled=true
topicLevelPoliciesEnabled=true
acknowledgmentAtBatchIndexLevelEnabled=true
# As users' brokers have it, too.
transactionCoordinatorEnabled=false
# So that a process that does not answer is missed soon: 30 s is usual.
keepAliveIntervalSeconds=5
allowAutoTopicCreation=true
allowAutoTopicCreationType=non-partitioned
# Tests remove what they made, and nobody else does.
brokerDeleteInactiveTopicsEnabled=false
forceDeleteNamespaceAllowed=true
forceDeleteTenantAllowed=true
webSocketServiceEnabled=false
# One process beside the tests: few threads, small caches, and files that are cut soon.
numIOThreads=2
numHttpServerThreads=8
numOrderedExecutorThreads=2
numExecutorThreadPoolSize=2
numCacheExecutorThreadPoolSize=2
topicOrderedExecutorThreadNum=2
managedLedgerNumSchedulerThreads=2
bookkeeperClientNumWorkerThreads=2
bookkeeperNumberOfChannelsPerBookie=2
ledgerStorageClass=org.apache.bookkeeper.bookie.storage.ldb.DbLedgerStorage
dbStorage_writeCacheMaxSizeMb=$write_cache
dbStorage_readAheadCacheMaxSizeMb=$read_cache
dbStorage_rocksDB_blockCacheSize=8388608
dbStorage_rocksDB_writeBufferSizeMB=4
numReadWorkerThreads=2
numAddWorkerThreads=2
# What is tested is the death of processes, not that of the machine.
journalSyncData=false
journalMaxGroupWaitMSec=1
journalMaxSizeMB=$journal
journalPreAllocSizeMB=4
journalMaxBackups=1
logSizeLimit=67108864
flushInterval=10000
diskUsageThreshold=0.99
diskUsageWarnThreshold=0.99
# Who may do what.
authenticationEnabled=true
authenticationProviders=org.apache.pulsar.broker.authentication.AuthenticationProviderToken
tokenSecretKey=file://$at/tokens/secret
anonymousUserRole=anonymous
authorizationEnabled=true
superUserRoles=anonymous,admin
tlsCertificateFilePath=$at/tls/server.crt
tlsKeyFilePath=$at/tls/server.key
tlsTrustCertsFilePath=$at/tls/ca.pem
END
    # The first is what tells that the broker is ready.
    cat >"$at/log4j2.properties" <<END
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601_OFFSET_DATE_TIME_HHMM} [%t] %-5level %logger{36} - %msg%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
logger.ready.name=org.apache.pulsar.PulsarStandalone
logger.ready.level=debug
logger.service.name=org.apache.pulsar.broker.service
logger.service.level=info
END
}

start() {
    if running; then
        echo "pulsar://127.0.0.1:$(cat "$at/port")"
        return
    fi
    check_tools
    install_jars
    # Until it listens, nobody else chooses ports.
    flock 8
    [ -s "$at/port" ] || choose_port
    port=$(cat "$at/port")
    make_certificates
    make_tokens
    write_settings
    # With the classes of an earlier run in an archive it is up sooner.
    local archive="$home/$version/classes-$java.jsa" share=()
    if [ -s "$archive" ]; then
        share=(-XX:SharedArchiveFile="$archive")
    else
        share=(-XX:ArchiveClassesAtExit="$at/classes.jsa")
    fi
    local opens=() package
    for package in java.base/java.io java.base/java.util.zip java.base/java.nio java.base/jdk.internal.misc \
        java.base/jdk.internal.platform java.management/sun.management jdk.management/com.sun.management.internal; do
        opens+=(--add-opens "$package=ALL-UNNAMED")
    done
    local metadata=(-nss --metadata-dir "$at/data/metadata")
    if [ "$state" = yes ]; then
        export PULSAR_STANDALONE_USE_ZOOKEEPER=1
        metadata=(--zookeeper-dir "$at/data/zookeeper" --zookeeper-port $((port + 6)) --stream-storage-port $((port + 5)))
    fi
    # Native libraries are unpacked at each start, and stay if the process is killed.
    rm -rf "$at/tmp"
    mkdir -p "$at/tmp"
    : >"$at/log"
    # It looks for plugins in the folder that it runs in.
    cd "$at"
    setsid java "${java_options[@]}" "${share[@]}" -Xlog:cds=off -Xlog:cds+dynamic=off "${opens[@]}" \
        -Djava.io.tmpdir="$at/tmp" -Djava.net.preferIPv4Stack=true -Dio.netty.tryReflectionSetAccessible=true \
        -Dlog4j.configurationFile="$at/log4j2.properties" -Dlog4j2.is.webapp=false \
        -cp "$lib/*" org.apache.pulsar.PulsarStandaloneStarter -c "$at/standalone.conf" -nfw -a 127.0.0.1 \
        "${metadata[@]}" --bookkeeper-dir "$at/data/bookkeeper" --bookkeeper-port $((port + 4)) \
        >>"$at/log" 2>&1 </dev/null 8>&- 9>&- &
    local pid=$!
    echo "$pid" >"$at/pid"
    if ! timeout "$patience" grep -q -m1 -e '--- setup completed ---' <(tail -n +1 -F --pid="$pid" "$at/log" 2>/dev/null 8>&- 9>&-); then
        tail -n 30 "$at/log" >&2
        kill -9 "$pid" 2>/dev/null || true
        fail "the broker ended, or did not start within $patience s; its log is $at/log"
    fi
    is_open "$port" || fail "the broker says that it started, but does not listen at port $port"
    echo "pulsar://127.0.0.1:$port"
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
        rm -rf "$at/data" "$at/tls" "$at/tokens" "$at/tmp" "$at/log" "$at/port" "$at/standalone.conf" "$at/log4j2.properties"
        ;;
    env)
        [ -s "$at/port" ] || fail "no broker was started in $at"
        port=$(cat "$at/port")
        echo "FNSTREAM_PULSAR=pulsar://127.0.0.1:$port"
        echo "FNSTREAM_PULSAR_ADMIN=http://127.0.0.1:$((port + 1))"
        echo "FNSTREAM_PULSAR_SSL=pulsar+ssl://127.0.0.1:$((port + 2))"
        echo "FNSTREAM_PULSAR_ADMIN_SSL=https://127.0.0.1:$((port + 3))"
        [ ! -d "$at/data/zookeeper" ] || echo "FNSTREAM_PULSAR_STATE=bk://127.0.0.1:$((port + 5))"
        echo "FNSTREAM_PULSAR_CA=$at/tls/ca.pem"
        echo "FNSTREAM_PULSAR_TOKEN=$(cat "$at/tokens/admin")"
        echo "FNSTREAM_PULSAR_GUEST_TOKEN=$(cat "$at/tokens/guest")"
        echo "FNSTREAM_PULSAR_EXPIRED_TOKEN=$(cat "$at/tokens/expired")"
        echo "FNSTREAM_PULSAR_LIB=$lib"
        ;;
    *) fail "usage: scripts/pulsar.sh start | stop | wipe | env [--at FOLDER] [--port PORT] [--long] [--state]" ;;
esac
