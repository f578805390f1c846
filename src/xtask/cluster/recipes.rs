//! What the cluster is made of, in which versions.

/// A program of the cluster, and how it is built.
pub(super) struct Recipe {
    /// The program's name.
    pub(super) name: &'static str,
    /// The Go package.
    pub(super) package: &'static str,
    /// Where its version comes from.
    pub(super) source: Source,
    /// What the linker is told besides to strip.
    pub(super) link: &'static str,
}

/// Where a program's version comes from.
pub(super) enum Source {
    /// A folder of `tests/cluster` with a `go.mod`.
    Module(&'static str),
    /// A release, as its authors locked it.
    Release(&'static str),
}

/// A kubelet does not work with a control plane whose version it cannot parse, and a build from modules has none.
const VERSION: &str = "-X k8s.io/component-base/version.gitVersion=v1.36.3 \
                       -X k8s.io/component-base/version.gitMajor=1 \
                       -X k8s.io/component-base/version.gitMinor=36 \
                       -X k8s.io/component-base/version.gitTreeState=clean";

const fn kubernetes(name: &'static str, package: &'static str) -> Recipe {
    Recipe { name, package, source: Source::Module("kubernetes"), link: VERSION }
}

const fn containerd(name: &'static str, package: &'static str) -> Recipe {
    Recipe { name, package, source: Source::Release("v2.4.2"), link: "" }
}

const fn module(name: &'static str, package: &'static str) -> Recipe {
    Recipe { name, package, source: Source::Module(name), link: "" }
}

/// Not of the cluster alone: the charts are checked with it.
pub(super) const HELM: Recipe =
    Recipe { name: "helm", package: "helm.sh/helm/v4/cmd/helm", source: Source::Release("v4.3.1"), link: "" };

/// Not of the cluster at all: what is written is checked with it against the schemas of Kubernetes.
pub(super) const KUBECONFORM: Recipe = Recipe {
    name: "kubeconform",
    package: "github.com/yannh/kubeconform/cmd/kubeconform",
    source: Source::Release("v0.8.0"),
    link: "",
};

/// A store that speaks S3, for archives to be tested with.
pub(super) const VERSITYGW: Recipe = Recipe {
    name: "versitygw",
    package: "github.com/versity/versitygw/cmd/versitygw",
    source: Source::Release("v1.8.0"),
    link: "",
};

/// All of the cluster. runc is not among them: Debian's has seccomp, one built like these has not.
pub(super) const RECIPES: &[Recipe] = &[
    kubernetes("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
    kubernetes("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
    kubernetes("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    kubernetes("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
    kubernetes("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
    kubernetes("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
    containerd("containerd", "github.com/containerd/containerd/v2/cmd/containerd"),
    containerd("containerd-shim-runc-v2", "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"),
    containerd("ctr", "github.com/containerd/containerd/v2/cmd/ctr"),
    module("etcd", "go.etcd.io/etcd/server/v3"),
    module("coredns", "."),
    module("provisioner", "."),
    module("pause", "."),
    module("policies", "."),
    HELM,
];
