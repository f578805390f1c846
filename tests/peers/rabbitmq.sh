#!/usr/bin/env bash
# Nodes of RabbitMQ on this machine's loopback, from Debian's package, without a container engine. Needs root.
#
#   rabbitmq.sh prepare   install it into a folder of its own, once; the only step that needs a network
#   rabbitmq.sh run       start new nodes, say "ready" when they are one cluster, and run them until the standard input
#                         ends
#
#   PEERS    the folder for what is installed and what runs
#   SUITE    Debian's suite, sid where none is given
#   MIRROR   Debian's archive, debootstrap's own where none is given
#   NODES    how many nodes, 3 where none is given
#   PORT     where clients connect to the first node, 25700 where none is given; 20 ports from there on are taken
#   PLUGINS  its plugins to turn on; rabbitmq_management listens 15 above PORT, and goes with one node only
set -euo pipefail
: "${PEERS:?the folder for what is installed and what runs}" "${SUITE:=sid}" "${MIRROR:=}"
: "${NODES:=3}" "${PORT:=25700}" "${PLUGINS:=}"
export PEERS SUITE MIRROR NODES PORT PLUGINS
script=$(readlink -f "$0")
tree=$PEERS/rabbitmq-$SUITE

AMQP=$PORT                      # the first node's; the next ones are above it
DISTRIBUTION=$((PORT + 10))
MANAGEMENT=$((PORT + 15))
PORT_MAPPER=$((PORT + 19))      # epmd's, beside the one that the machine may have
place=/srv/$PORT                # of what runs, in the tree: of each cluster its own

say() { echo "rabbitmq: $*" >&2; }

# Everything runs in namespaces of its own: with the first process all others end, and no mount is left behind.
enclosed() { # step
  exec unshare --mount --pid --fork --kill-child "$script" "$1"
}

install() {
  local part=$tree.part
  rm -rf "$part"
  mkdir -p "$part"
  say "installing Debian's $SUITE into $tree"
  debootstrap --variant=minbase "$SUITE" "$part" ${MIRROR:+"$MIRROR"} >"$PEERS/rabbitmq-install.log" 2>&1 || failed_install
  mount -t proc proc "$part/proc"
  # It is started here, not by the package.
  printf '#!/bin/sh\nexit 101\n' >"$part/usr/sbin/policy-rc.d"
  chmod 755 "$part/usr/sbin/policy-rc.d"
  cp /etc/hosts "$part/etc/hosts"
  DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 chroot "$part" \
    apt-get install --yes --no-install-recommends rabbitmq-server >>"$PEERS/rabbitmq-install.log" 2>&1 || failed_install
  chroot "$part" apt-get clean
  umount "$part/proc"
  mv "$part" "$tree"
}

failed_install() {
  tail -n 20 "$PEERS/rabbitmq-install.log" >&2
  say "it could not be installed; all of it is in $PEERS/rabbitmq-install.log"
  exit 1
}

# Runs a program of the tree as RabbitMQ's own user, with the settings of node n.
node() { # n program…
  local n=$1; shift
  local home=$place/r$n
  chroot --userspec=rabbitmq:rabbitmq "$tree" /usr/bin/env -i \
    PATH=/usr/lib/rabbitmq/bin:/usr/bin:/bin LANG=C.UTF-8 HOME=$place \
    RABBITMQ_NODENAME="r$n@localhost" RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 \
    RABBITMQ_NODE_PORT=$((AMQP + n)) RABBITMQ_DIST_PORT=$((DISTRIBUTION + n)) \
    RABBITMQ_MNESIA_BASE="$home" RABBITMQ_LOG_BASE="$home/log" RABBITMQ_CONFIG_FILE=$place/rabbitmq.conf \
    RABBITMQ_ENABLED_PLUGINS_FILE=$place/enabled_plugins ERL_EPMD_ADDRESS=127.0.0.1 ERL_EPMD_PORT=$PORT_MAPPER \
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}' \
    "$@"
}

serve() {
  local n srv=$tree$place
  mount -t proc proc "$tree/proc"
  rm -rf "$srv"
  for ((n = 0; n < NODES; n++)); do mkdir -p "$srv/r$n/log"; done
  {
    echo 'cluster_formation.peer_discovery_backend = classic_config'
    for ((n = 0; n < NODES; n++)); do echo "cluster_formation.classic_config.nodes.$n = r$n@localhost"; done
    if [[ " $PLUGINS " == *" rabbitmq_management "* ]]; then
      echo "management.tcp.ip = 127.0.0.1"
      echo "management.tcp.port = $MANAGEMENT"
    fi
  } >"$srv/rabbitmq.conf"
  echo "[${PLUGINS// /,}]." >"$srv/enabled_plugins"
  head -c 30 /dev/urandom | base64 | tr -dc 'A-Za-z' >"$srv/.erlang.cookie"
  chmod 400 "$srv/.erlang.cookie"
  chroot "$tree" chown -R rabbitmq:rabbitmq "$place"
  for ((n = 0; n < NODES; n++)); do node $n rabbitmq-server >"$srv/r$n/log/output" 2>&1 </dev/null & done
  await || { say "the nodes did not become a cluster; the logs are in $srv"; exit 1; }
  n=$(echo "$tree"/usr/lib/rabbitmq/lib/rabbitmq_server-*)
  echo "ready: RabbitMQ ${n##*-}"
  # Until the standard input ends: so nothing outlives who started this, however that ends.
  cat >/dev/null
}

# Until the first node knows of the others, and each takes clients; the management API comes before these.
await() {
  local n end=$((SECONDS + 120))
  until node 0 rabbitmqctl --quiet await_online_nodes "$NODES" --timeout 30 </dev/null >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || return 1
  done
  for ((n = 0; n < NODES; n++)); do
    until (exec 3<>"/dev/tcp/127.0.0.1/$((AMQP + n))") 2>/dev/null; do
      [ $SECONDS -lt $end ] || return 1
      sleep 0.1
    done
  done
}

case "${1-}" in
  prepare)
    [ ! -d "$tree" ] || exit 0
    mkdir -p "$PEERS"
    enclosed install ;;
  run)
    [ -d "$tree" ] || { say "not installed: rabbitmq.sh prepare"; exit 1; }
    enclosed serve ;;
  install) install ;;
  serve) serve ;;
  *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$script" >&2; exit 2 ;;
esac
