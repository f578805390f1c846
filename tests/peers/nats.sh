#!/usr/bin/env bash
# Three nodes of NATS with JetStream on this machine's loopback, which sync before they confirm.
#
#   nats.sh prepare   build the server and nats-load, its load generator, with Go; the only step that needs a network
#   nats.sh run       start three new nodes, say "ready" when JetStream has a leader and all are its peers, and run them
#                     until the standard input ends
#
#   PEERS    the folder for what is built and what runs
set -euo pipefail
: "${PEERS:?the folder for what is built and what runs}"
here=$(cd "$(dirname "$0")" && pwd)
state=$PEERS/nats

CLIENTS=25720           # the first node's; the next ones are above it
ROUTES=25730
MONITORING=25740

say() { echo "nats: $*" >&2; }

prepare() {
  mkdir -p "$PEERS/bin"
  cd "$here/nats-load"
  export GOWORK=off GOBIN=$PEERS/bin
  go build -buildvcs=false -o "$PEERS/bin/nats-server" github.com/nats-io/nats-server/v2
  go build -buildvcs=false -o "$PEERS/bin/nats-load" .
}

configuration() { # n
  cat <<END
server_name: n$1
listen: 127.0.0.1:$((CLIENTS + $1))
http: 127.0.0.1:$((MONITORING + $1))
jetstream { store_dir: "$state/n$1", sync_interval: always }
cluster {
  name: peers
  listen: 127.0.0.1:$((ROUTES + $1))
  routes: [nats://127.0.0.1:$((ROUTES)), nats://127.0.0.1:$((ROUTES + 1)), nats://127.0.0.1:$((ROUTES + 2))]
}
END
}

# Asks a node, without a program that the machine may not have.
ask() { # n path
  exec 3<>"/dev/tcp/127.0.0.1/$((MONITORING + $1))" || return 1
  printf 'GET %s HTTP/1.0\r\n\r\n' "$2" >&3
  cat <&3
  exec 3>&-
}

formed() {
  local n
  for n in 0 1 2; do ask $n /healthz | grep -q '"status":"ok"' || return 1; done
  # The leader knows of the two others, and that they keep up.
  for n in 0 1 2; do ask $n /jsz; done | tr -d ' \n' | grep -q '"current":true.*"current":true'
}

run() {
  local n end=$((SECONDS + 60))
  rm -rf "$state"
  mkdir -p "$state"
  # The shell would tell of each that it was killed.
  trap 'exec 2>/dev/null; kill -9 $(jobs -p); wait' EXIT
  trap 'exit 1' INT TERM HUP
  for n in 0 1 2; do
    configuration $n >"$state/n$n.conf"
    # Ends with this script, also where that is killed.
    setpriv --pdeathsig KILL "$PEERS/bin/nats-server" -c "$state/n$n.conf" >"$state/n$n.log" 2>&1 </dev/null &
  done
  until formed 2>/dev/null; do
    [ $SECONDS -lt $end ] || { say "the nodes did not find each other; the logs are in $state"; exit 1; }
    sleep 0.1
  done
  echo "ready: $("$PEERS/bin/nats-server" --version | sed 's/nats-server: v/NATS /'), sync_interval always"
  # Until the standard input ends: so nothing outlives who started this, however that ends.
  cat >/dev/null
}

case "${1-}" in
  prepare) prepare ;;
  run) run ;;
  *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
esac
