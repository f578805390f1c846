# etcd, API server, controllers, scheduler and DNS, on the host. They listen on the bridge or
# on a port of their own, so that they disturb no other cluster of the machine.

control_plane() {
  local etcd=http://127.0.0.1:23790 peers=http://127.0.0.1:23800 who
  start etcd etcd --data-dir "$STATE/etcd" --listen-client-urls $etcd --advertise-client-urls $etcd \
    --listen-peer-urls $peers --initial-advertise-peer-urls $peers --initial-cluster default=$peers \
    --unsafe-no-fsync
  start apiserver kube-apiserver --etcd-servers=$etcd --advertise-address=$GATEWAY --bind-address=$GATEWAY \
    --tls-cert-file=pki/apiserver.crt --tls-private-key-file=pki/apiserver.key --client-ca-file=pki/ca.crt \
    --kubelet-client-certificate=pki/admin.crt --kubelet-client-key=pki/admin.key \
    --kubelet-preferred-address-types=InternalIP --service-cluster-ip-range=10.96.0.0/16 \
    --service-account-key-file=pki/service-accounts.pub --service-account-signing-key-file=pki/service-accounts.key \
    --service-account-issuer=https://kubernetes.default.svc --authorization-mode=Node,RBAC \
    --enable-admission-plugins=NodeRestriction --allow-privileged=true \
    --requestheader-client-ca-file=pki/ca.crt --requestheader-allowed-names=front-proxy \
    --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
    --requestheader-extra-headers-prefix=X-Remote-Extra- \
    --proxy-client-cert-file=pki/front-proxy.crt --proxy-client-key-file=pki/front-proxy.key
  await 60 "the API server" kubectl get --raw /readyz
  # A node counts as lost after 20 s without a sign of it, so that tests need not wait for the usual 50.
  who=conf/controller-manager.kubeconfig
  start controller-manager kube-controller-manager --kubeconfig=$who --authentication-kubeconfig=$who \
    --authorization-kubeconfig=$who --bind-address=$GATEWAY --root-ca-file=pki/ca.crt \
    --service-account-private-key-file=pki/service-accounts.key --use-service-account-credentials \
    --cluster-signing-cert-file=pki/ca.crt --cluster-signing-key-file=pki/ca.key --leader-elect=false \
    --node-monitor-grace-period=20s --kube-api-qps=100 --kube-api-burst=200
  who=conf/scheduler.kubeconfig
  start scheduler kube-scheduler --kubeconfig=$who --authentication-kubeconfig=$who \
    --authorization-kubeconfig=$who --bind-address=$GATEWAY --leader-elect=false
  cat >conf/Corefile <<C
.:53 {
  bind $GATEWAY
  kubernetes cluster.local {
    kubeconfig $STATE/conf/admin.kubeconfig
    ttl 1
  }
  errors
}
C
  start coredns coredns -conf conf/Corefile
}
