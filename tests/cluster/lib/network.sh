# The bridge, and a network namespace with one cable to it for every node.

network() {
  local n m
  ip link add $BRIDGE type bridge
  ip addr add $GATEWAY/24 dev $BRIDGE
  ip link set $BRIDGE up
  for n in $(nodes); do
    ip netns add "$(netns "$n")"
    ip link add "$(link "$n")" type veth peer name eth0 netns "$(netns "$n")"
    ip link set "$(link "$n")" master $BRIDGE up
    ip -n "$(netns "$n")" link set lo up
    ip -n "$(netns "$n")" addr add "$(address "$n")/24" dev eth0
    ip -n "$(netns "$n")" link set eth0 up
    ip -n "$(netns "$n")" route add default via $GATEWAY
    ip netns exec "$(netns "$n")" sysctl -qw net.ipv4.ip_forward=1
    ip route replace "$(pod_range "$n").0/24" via "$(address "$n")"
    for m in $(nodes); do
      [ "$n" = "$m" ] || ip -n "$(netns "$n")" route replace "$(pod_range "$m").0/24" via "$(address "$m")"
    done
  done
}
