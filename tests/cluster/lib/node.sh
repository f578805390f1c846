# One node: a containerd, a kubelet and a kube-proxy in the node's network namespace.

runtime() { echo "$STATE/$1/containerd.sock"; }          # ctr wants this path absolute

import() { # node archive
  ctr -a "$(runtime "$1")" -n k8s.io images import "$2" >"$STATE/log/$1-import.log" 2>&1 ||
    { cat "$STATE/log/$1-import.log" >&2; return 1; }
}

configure_node() { # node
  local n=$1 cri="plugins.'io.containerd.cri.v1"
  mkdir -p "$n/cni" "$n/kubelet"
  cat >"$n/cni/10-pods.conflist" <<C
{"cniVersion":"1.0.0","name":"pods","plugins":[
 {"type":"bridge","bridge":"cni0","isGateway":true,"hairpinMode":true,
  "ipam":{"type":"host-local","dataDir":"$STATE/$n/ipam",
          "ranges":[[{"subnet":"$(pod_range "$n").0/24"}]],"routes":[{"dst":"0.0.0.0/0"}]}},
 {"type":"portmap","capabilities":{"portMappings":true}}]}
C
  # restrict_oom_score_adj: without CAP_SYS_RESOURCE no sandbox starts otherwise.
  # netns_mounts_under_state_dir: what belongs to this cluster is told by where it lies.
  cat >"$n/containerd.toml" <<C
version = 3
root = "$STATE/$n/containerd"
state = "$STATE/$n/state"
[grpc]
  address = "$(runtime "$n")"
# Its socket has one place for all nodes of this machine.
[plugins.'io.containerd.nri.v1.nri']
  disable = true
[$cri.images']
  [$cri.images'.pinned_images]
    sandbox = "ferrymq.local/pause:1"
[$cri.runtime']
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [$cri.runtime'.cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "$STATE/$n/cni"
C
  # cgroupsPerQOS, enforceNodeAllocatable, failCgroupV1: works on both kinds of control groups,
  # and where this machine is itself a container.
  cat >"$n/kubelet.yaml" <<C
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $STATE/pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $STATE/pki/$n.crt
tlsPrivateKeyFile: $STATE/pki/$n.key
address: $(address "$n")
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
clusterDNS: [$GATEWAY]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix://$(runtime "$n")
podLogsDir: $STATE/$n/pod-logs
resolvConf: ""
nodeStatusUpdateFrequency: 4s
evictionHard: {memory.available: 50Mi, nodefs.available: 500Mi, imagefs.available: 500Mi}
imageGCHighThresholdPercent: 100
C
}

node() { # node
  local n=$1 inside
  # Not 'ip netns exec', which makes a mount namespace each: kubelet and containerd must share theirs.
  inside="nsenter --net=/run/netns/$(netns "$n")"
  configure_node "$n"
  start "$n-containerd" $inside containerd -c "$STATE/$n/containerd.toml"
  await 30 "containerd of $n" ctr -a "$(runtime "$n")" version
  import "$n" "$BIN/pause.tar"
  start "$n-kubelet" $inside kubelet --config="$STATE/$n/kubelet.yaml" --kubeconfig="$STATE/conf/$n.kubeconfig" \
    --hostname-override="$n" --node-ip="$(address "$n")" --root-dir="$STATE/$n/kubelet" \
    --node-labels="topology.kubernetes.io/zone=zone-${n#node}"
  start "$n-proxy" $inside kube-proxy --kubeconfig="$STATE/conf/proxy.kubeconfig" --hostname-override="$n" \
    --proxy-mode=iptables --cluster-cidr=10.244.0.0/16 --conntrack-max-per-core=0
}
