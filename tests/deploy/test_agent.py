"""The agent's objects: no more rights than it uses, and each of them where it is used."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import jsonpatch
import pytest
import yaml

from mnp_cnigate.gate import DEFAULT_SOCKET
from mnp_core.model.kinds import BUILT_IN_KINDS
from mnp_core.plugins import load_plugins
from mnp_core.settings import DEFAULT_AGENT_SOCKET, parse_settings
from mnp_nri.gate import DEFAULT_SOCKET as NRI_SOCKET

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPONENTS = sorted(path.name for path in (DEPLOY / "kustomize/components").iterdir())
READ = ["get", "list", "watch"]
PLURALS = {
    "Pod": "pods",
    "Namespace": "namespaces",
    "NetworkAttachmentDefinition": "network-attachment-definitions",
    "MultiNetworkPolicy": "multi-networkpolicies",
}


def load(text):
    return merged({}, yaml.safe_load_all(text))


def merged(objects, others):
    """By kind; a further one of a kind by kind and name."""
    for item in others:
        key = f"{item['kind']} {item['metadata']['name']}" if item["kind"] in objects else item["kind"]
        assert key not in objects
        objects = {**objects, key: item}
    return objects


OBJECTS = load((DEPLOY / "deploy.yml").read_text())
DAEMONSET = OBJECTS["DaemonSet"]
POD = DAEMONSET["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
OWN_FOLDER = str(Path(DEFAULT_AGENT_SOCKET).parent)


def build(*components):
    """The output of kustomize for the base with these components: each adds resources or patches the DaemonSet."""
    objects = load((DEPLOY / "deploy.yml").read_text())
    for component in components:
        folder = DEPLOY / "kustomize/components" / component
        wanted = yaml.safe_load((folder / "kustomization.yaml").read_text())
        for name in wanted.pop("resources", ()):
            objects = merged(objects, yaml.safe_load_all((folder / name).read_text()))
        assert wanted["kind"] == "Component"
        for patch in wanted.pop("patches", ()):
            assert patch["target"] == {"kind": "DaemonSet", "name": "mnp-node"}
            objects["DaemonSet"] = jsonpatch.apply_patch(objects["DaemonSet"], yaml.safe_load(patch["patch"]))
    return objects


def pod_of(objects):
    return objects["DaemonSet"]["spec"]["template"]["spec"]


# --- one source -----------------------------------------------------------------------------------------------------


def test_file_equals_the_output_of_its_script(tmp_path):
    target = tmp_path / "deploy.yml"
    subprocess.run([sys.executable, ROOT / "scripts/flatten", target], check=True, stdout=subprocess.DEVNULL)
    assert target.read_text() == (DEPLOY / "deploy.yml").read_text(), "run scripts/flatten: deploy/deploy.yml is older"


@pytest.mark.parametrize("component", [None, *COMPONENTS])
def test_kustomize_makes_the_same_of_it(component, tmp_path):
    program = shutil.which("kustomize")
    if program is None:
        pytest.skip("kustomize is not on PATH")
    shutil.copytree(DEPLOY / "kustomize", tmp_path / "kustomize")
    components = [component] if component else []
    parts = {"resources": ["../kustomize/base"], "components": [f"../kustomize/components/{c}" for c in components]}
    (tmp_path / "own").mkdir()
    (tmp_path / "own/kustomization.yaml").write_text(yaml.dump(parts))
    built = subprocess.run([program, "build", tmp_path / "own"], check=True, capture_output=True, text=True).stdout
    assert load(built) == build(*components)


def test_every_manifest_can_be_read():
    for path in sorted({*DEPLOY.rglob("*.y*ml")} - {DEPLOY / "prometheus/mnp.rules.yml"}):  # Prometheus reads that
        for item in yaml.safe_load_all(path.read_text()):
            assert {"apiVersion", "kind"} <= set(item), path


def test_image_is_yours_to_name():
    """No name that a node would complete by a public registry, where strangers may publish under it."""
    assert CONTAINER["image"] == f"localhost/mnp-node:{version_of_the_core()}"
    for path in (path for path in DEPLOY.rglob("*") if path.is_file()):
        assert not re.search(r"\b(docker|ghcr|quay|gcr)\.io|registry\.", path.read_text()), path


def version_of_the_core():
    return re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]


def test_containerfile_names_the_version_of_the_core():
    assert f'ARG VERSION="{version_of_the_core()}"' in (DEPLOY / "image/Containerfile").read_text()


# --- rights ---------------------------------------------------------------------------------------------------------


def granted(role):
    """(API group, resource) -> verbs; a resource twice would be a mistake."""
    pairs = [
        ((group, resource), rule["verbs"])
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    ]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


DEFINITIONS = ("apiextensions.k8s.io", "customresourcedefinitions")


def named_definitions(role):
    """Names of the definitions that a role lets the agent read."""
    [rule] = [rule for rule in role["rules"] if rule["resources"] == [DEFINITIONS[1]]]
    return set(rule["resourceNames"])


def test_role_grants_the_reads_of_the_agent_and_nothing_else():
    read = {(kind.group, PLURALS[kind.kind]) for kind in BUILT_IN_KINDS}
    read |= {(spec.group, spec.plural) for spec in load_plugins().policy_kinds.values()}
    others = {("", "events"): ["create", "patch"], DEFINITIONS: ["get"]}
    assert granted(OBJECTS["ClusterRole"]) == dict.fromkeys(read, READ) | others
    assert named_definitions(OBJECTS["ClusterRole"]) == {f"{plural}.{group}" for group, plural in read if group}


def test_readers_may_list_what_is_read_and_nothing_else():
    read = {(kind.group, PLURALS[kind.kind]) for kind in BUILT_IN_KINDS}
    read |= {(spec.group, spec.plural) for spec in load_plugins().policy_kinds.values()}
    assert granted(build("reader")["ClusterRole mnp-reader"]) == {key: ["list"] for key in read}


def test_role_is_bound_to_the_account_that_the_agent_runs_as():
    account, binding = OBJECTS["ServiceAccount"]["metadata"], OBJECTS["ClusterRoleBinding"]
    assert binding["roleRef"]["name"] == OBJECTS["ClusterRole"]["metadata"]["name"]
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}
    ]
    assert POD["serviceAccountName"] == account["name"]
    assert DAEMONSET["metadata"]["namespace"] == account["namespace"]


def test_container_is_confined():
    context = CONTAINER["securityContext"]
    assert context["privileged"] is False
    assert context["allowPrivilegeEscalation"] is False
    assert context["readOnlyRootFilesystem"] is True
    assert POD["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostPID", "hostIPC"} & set(POD)


def test_capabilities_are_those_it_needs():
    """An API server refuses allowPrivilegeEscalation: false beside CAP_SYS_ADMIN, so written."""
    assert CONTAINER["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["SYS_ADMIN", "NET_ADMIN"]}


def writable(container):
    return [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]


def test_every_mount_but_that_of_its_own_socket_is_read_only():
    assert writable(CONTAINER) == [OWN_FOLDER]
    (volume,) = [volume for volume in POD["volumes"] if volume["name"] == "agent"]
    assert volume == {"name": "agent", "emptyDir": {"sizeLimit": "1Mi"}}
    assert {mount["name"] for mount in CONTAINER["volumeMounts"]} == {volume["name"] for volume in POD["volumes"]}


def test_namespaces_of_later_pods_appear():
    mounts = {mount["name"]: mount for mount in CONTAINER["volumeMounts"]}
    assert mounts["namespaces"]["mountPath"] == "/var/run/netns"
    assert mounts["namespaces"]["mountPropagation"] == "HostToContainer"


# --- life -----------------------------------------------------------------------------------------------------------


def test_it_runs_on_every_node_and_is_evicted_last():
    assert POD["tolerations"] == [{"operator": "Exists"}]
    assert POD["priorityClassName"] == "system-node-critical"
    assert POD["nodeSelector"] == {"kubernetes.io/os": "linux"}


def test_it_is_in_the_network_namespace_that_it_must_not_write_to():
    assert POD["hostNetwork"] is True


def test_probes_ask_where_it_listens():
    (port,) = CONTAINER["ports"]
    assert (port["containerPort"], port["hostPort"]) == (9469, 9469)
    paths = {}
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        get = CONTAINER[name]["httpGet"]
        assert (get["host"], get["port"]) == ("127.0.0.1", port["name"])
        paths[name] = get["path"]
    assert paths == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}


def test_it_knows_its_node():
    (variable,) = CONTAINER["env"]
    assert variable == {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}


def test_selector_finds_its_pods():
    labels = DAEMONSET["spec"]["template"]["metadata"]["labels"]
    assert DAEMONSET["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_settings_are_understood():
    ((name, text),) = OBJECTS["ConfigMap"]["data"].items()
    (folder,) = (mount["mountPath"] for mount in CONTAINER["volumeMounts"] if mount["name"] == "settings")
    assert CONTAINER["args"] == [f"--settings={folder}/{name}"]
    parse_settings(yaml.safe_load(text), where=name, read=str)


# --- components -----------------------------------------------------------------------------------------------------


def test_crio_is_the_same_with_another_socket():
    changed = yaml.dump_all(build("crio").values())
    assert "/run/crio" in changed
    assert list(yaml.safe_load_all(changed.replace("/run/crio", "/run/containerd"))) == list(OBJECTS.values())
    overlay = yaml.safe_load((DEPLOY / "kustomize/crio/kustomization.yaml").read_text())
    assert (overlay["resources"], overlay["components"]) == (["../base"], ["../components/crio"])


@pytest.mark.parametrize("component", COMPONENTS)
def test_components_go_together_with_crio(component):
    built = pod_of(build(*dict.fromkeys(["crio", component])))
    asking = [each for each in built.get("initContainers", ()) if each["name"] != "cnigate"]  # that asks no runtime
    for container in (*built["containers"], *asking):
        assert "/run/crio" in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_iptables_adds_raw_sockets_and_the_lock():
    (container,) = pod_of(build("iptables"))["containers"]
    assert container["securityContext"]["capabilities"]["add"] == ["SYS_ADMIN", "NET_ADMIN", "NET_RAW"]
    assert writable(container) == [OWN_FOLDER, "/run/xtables.lock"]


def test_proc_adds_the_privileges_for_reading_processes():
    pod = pod_of(build("proc"))
    assert pod["hostPID"] is True
    assert pod["containers"][0]["securityContext"]["capabilities"]["add"] == ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE"]


def test_metrics_are_served_where_they_are_scraped():
    objects = build("metrics")
    (container,) = pod_of(objects)["containers"]
    assert container["args"][-1] == "--listen=$(HOST_IP):9469"
    assert {"name": "HOST_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}} in container["env"]
    assert all("host" not in container[f"{probe}Probe"]["httpGet"] for probe in ("startup", "liveness", "readiness"))
    (scraped,) = objects["PodMonitor"]["spec"]["podMetricsEndpoints"]
    assert scraped["port"] == container["ports"][0]["name"]
    assert "hostIP" not in container["ports"][0]


def test_cleanup_is_done_before_the_pod_is_ready():
    pod = pod_of(build("cleanup"))
    (cleaner,), (waiting,) = pod["initContainers"], pod["containers"]
    assert cleaner["command"] == ["mnp", "cleanup"]
    for field in ("image", "securityContext", "volumeMounts"):
        assert cleaner[field] == CONTAINER[field]
    assert waiting["command"] == ["sleep", "infinity"]
    assert "args" not in cleaner | waiting
    assert not any(key.endswith("Probe") for key in (*cleaner, *waiting))


def test_cnigate_installs_with_one_folder_and_no_capability():
    pod = pod_of(build("cnigate"))
    (installer,), (agent,) = pod["initContainers"], pod["containers"]
    assert installer["command"] == ["mnp", "cnigate", "install", "/host/opt/cni/bin"]
    assert installer["image"] == agent["image"]
    assert installer["volumeMounts"] == [{"name": "cni-bin", "mountPath": "/host/opt/cni/bin"}]
    assert installer["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert installer["securityContext"].items() >= {"privileged": False, "readOnlyRootFilesystem": True}.items()
    paths = {volume["name"]: volume.get("hostPath", {}).get("path") for volume in pod["volumes"]}
    assert (paths["cni-bin"], paths["gate"]) == ("/opt/cni/bin", "/run/mnp")


def test_cnigate_gives_the_agent_the_folder_of_the_socket_alone():
    (agent,) = pod_of(build("cnigate"))["containers"]
    assert agent["securityContext"] == CONTAINER["securityContext"]
    assert writable(agent) == [OWN_FOLDER, "/run/mnp"]
    assert str(Path(DEFAULT_SOCKET).parent) == "/run/mnp"


def test_nri_gives_the_agent_the_folder_of_the_runtimes_socket_alone():
    pod = pod_of(build("nri"))
    (agent,) = pod["containers"]
    assert agent["securityContext"] == CONTAINER["securityContext"]
    (added,) = [mount for mount in agent["volumeMounts"] if mount not in CONTAINER["volumeMounts"]]
    assert (added["mountPath"], added["readOnly"]) == (str(Path(NRI_SOCKET).parent), True)
    paths = {volume["name"]: volume.get("hostPath", {}).get("path") for volume in pod["volumes"]}
    assert paths[added["name"]] == added["mountPath"]


def test_guests_adds_reads_of_the_sources_of_their_addresses_and_nothing_else():
    objects = build("guests")
    read = {(spec.group, spec.plural) for spec in load_plugins().address_sources.values()}
    role = objects["ClusterRole mnp-node-guests"]
    assert granted(role) == dict.fromkeys(read, READ) | {DEFINITIONS: ["get"]}
    assert named_definitions(role) == {f"{plural}.{group}" for group, plural in read}
    binding = objects["ClusterRoleBinding mnp-node-guests"]
    assert binding["roleRef"]["name"] == "mnp-node-guests"
    assert binding["subjects"] == OBJECTS["ClusterRoleBinding"]["subjects"]
    assert objects["DaemonSet"] == DAEMONSET
