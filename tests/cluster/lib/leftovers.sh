# Removing a cluster, whole or half, running or crashed: nothing here trusts a list that the
# cluster kept of itself. What belongs to it is told by its executable, its network namespace,
# or by lying in $STATE.

our_namespaces() { # as "net:[…]"
  local file
  { ls -d /run/netns/ferrymq-node* 2>/dev/null || true; mounts | grep '/netns/' || true; } | while read -r file; do
    stat -Lc 'net:[%i]' "$file" 2>/dev/null || true
  done
}

mounts() { awk -v state="$STATE/" 'index($2, state) == 1 { print $2 }' /proc/mounts; }

our_processes() {
  local ours daemon
  ours=$(our_namespaces; for daemon in $DAEMONS; do echo "$BIN/$daemon"; done)
  # A replaced binary's link ends in " (deleted)".
  # find fails where a process ends under its eyes, which is no matter.
  { find /proc -mindepth 2 -maxdepth 3 \( -path '/proc/[0-9]*/ns/net' -o -path '/proc/[0-9]*/exe' \) \
    -printf '%P %l\n' 2>/dev/null || true; } | sed 's/ (deleted)$//' | OURS=$ours awk '
      BEGIN { split(ENVIRON["OURS"], list, "\n"); for (i in list) mine[list[i]] = 1 }
      { split($1, path, "/"); if (($2 in mine) && !seen[path[1]]++) print path[1] }'
}

# Nothing of it is kept, so nothing needs time to end well.
kill_all() {
  local pids end=$((SECONDS + 20))
  while pids=$(our_processes); [ -n "$pids" ]; do
    [ "$SECONDS" -lt "$end" ] || { echo "cluster: these processes do not end:" $pids >&2; return 1; }
    kill -9 $pids 2>/dev/null || true
    sleep 0.1
  done
}

control_groups() {
  local container
  for container in "$STATE"/node*/state/io.containerd.runtime.v2.task/k8s.io/*; do
    ls -d /sys/fs/cgroup{,/*}/k8s.io/"${container##*/}" 2>/dev/null || true
  done
}

sweep() {
  local n mount groups
  groups=$(control_groups)
  kill_all
  # The innermost first; a mount may hide others of the same path.
  while mount=$(mounts | sort -r | head -n 1); [ -n "$mount" ]; do umount -l "$mount"; done
  for n in $(ip netns list | awk '/^ferrymq-node/ { print $1 }'); do ip netns del "$n"; done
  for n in $(ip -o link | awk -F': ' '$2 ~ /^ferrymq-node/ { sub(/@.*/, "", $2); print $2 }') $BRIDGE; do
    ip link del "$n" 2>/dev/null || true
  done
  for n in $groups; do rmdir "$n" 2>/dev/null || true; done
  rm -rf "$STATE"
}
