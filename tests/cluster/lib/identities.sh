# The certificate authority, a certificate and a kubeconfig for everyone who calls the API.

key() { openssl ecparam -name prime256v1 -genkey -noout -out "pki/$1.key"; }

certificate() { # name subject [subjectAltName]
  key "$1"
  openssl req -new -key "pki/$1.key" -out "pki/$1.csr" -subj "$2"
  openssl x509 -req -in "pki/$1.csr" -CA pki/ca.crt -CAkey pki/ca.key -days 30 -out "pki/$1.crt" \
    -set_serial "0x$(openssl rand -hex 8)" \
    -extfile <(echo extendedKeyUsage=serverAuth,clientAuth; [ -z "${3:-}" ] || echo "subjectAltName=$3") 2>/dev/null
}

kubeconfig() { # the certificate's name
  cat >"conf/$1.kubeconfig" <<Y
apiVersion: v1
kind: Config
clusters: [{name: ferrymq, cluster: {server: "https://$GATEWAY:6443", certificate-authority-data: $(base64 -w0 pki/ca.crt)}}]
users: [{name: $1, user: {client-certificate-data: $(base64 -w0 "pki/$1.crt"), client-key-data: $(base64 -w0 "pki/$1.key")}}]
contexts: [{name: ferrymq, context: {cluster: ferrymq, user: $1}}]
current-context: ferrymq
Y
  chmod 600 "conf/$1.kubeconfig"
}

identities() {
  local n names
  key ca
  openssl req -x509 -new -key pki/ca.key -out pki/ca.crt -days 30 -subj /CN=ferrymq-cluster
  names=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc
  certificate apiserver /CN=kube-apiserver "$names,IP:127.0.0.1,IP:$GATEWAY,IP:10.96.0.1"
  certificate admin /O=system:masters/CN=admin
  certificate controller-manager /CN=system:kube-controller-manager
  certificate scheduler /CN=system:kube-scheduler
  certificate proxy /CN=system:kube-proxy
  certificate front-proxy /CN=front-proxy
  for n in $(nodes); do
    certificate "$n" "/O=system:nodes/CN=system:node:$n" "DNS:$n,IP:$(address "$n")"
  done
  key service-accounts
  openssl pkey -in pki/service-accounts.key -pubout -out pki/service-accounts.pub
  for n in admin controller-manager scheduler proxy $(nodes); do kubeconfig "$n"; done
}
