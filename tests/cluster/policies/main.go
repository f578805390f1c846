// Enforces NetworkPolicies on one node of the test cluster: kube-router's firewall and nothing else of it. It
// runs in the network namespace of its node, for as long as a story wants policies enforced, and
// takes away its rules when it is asked to stop.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/cloudnativelabs/kube-router/v2/pkg/controllers/netpol"
	"github.com/cloudnativelabs/kube-router/v2/pkg/healthcheck"
	"github.com/cloudnativelabs/kube-router/v2/pkg/options"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// Without it no packet between two pods of one node passes the firewall.
const bridged = "/proc/sys/net/bridge/bridge-nf-call-iptables"

func run(kubeconfig, node string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	if err := os.WriteFile(bridged, []byte("1"), 0o644); err != nil {
		return err
	}
	defer os.WriteFile(bridged, []byte("0"), 0o644)

	settings := options.NewKubeRouterConfig()
	settings.EnableIPv4, settings.HostnameOverride = true, node
	tables, sets, err := netpol.NewIPTablesHandlers(settings)
	if err != nil {
		return err
	}
	stop := make(chan struct{})
	factory := informers.NewSharedInformerFactory(client, 0)
	pods := factory.Core().V1().Pods().Informer()
	namespaces := factory.Core().V1().Namespaces().Informer()
	policies := factory.Networking().V1().NetworkPolicies().Informer()
	factory.Start(stop)
	factory.WaitForCacheSync(stop)
	firewall, err := netpol.NewNetworkPolicyController(client, settings, pods, policies, namespaces, &sync.Mutex{}, tables, sets)
	if err != nil {
		return err
	}
	if _, err := pods.AddEventHandler(firewall.PodEventHandler); err != nil {
		return err
	}
	if _, err := namespaces.AddEventHandler(firewall.NamespaceEventHandler); err != nil {
		return err
	}
	if _, err := policies.AddEventHandler(firewall.NetworkPolicyEventHandler); err != nil {
		return err
	}
	health := make(chan *healthcheck.ControllerHeartbeat, 16)
	go func() {
		for range health {
		}
	}()
	var running sync.WaitGroup
	running.Add(1)
	go firewall.Run(health, stop, &running)

	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM, syscall.SIGINT)
	<-asked
	close(stop)
	running.Wait()
	firewall.Cleanup()
	return nil
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "of the cluster")
	node := flag.String("node", "", "the node whose network namespace this is in")
	flag.Parse()
	if err := run(*kubeconfig, *node); err != nil {
		fmt.Fprintln(os.Stderr, "policies:", err)
		os.Exit(1)
	}
}
