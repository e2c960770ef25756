"""moto's server, with tasks of ECS that stay RUNNING, and whose containers have ports and addresses.

A task's containers are those of its definition. In the modes bridge and host each port mapping is a network binding,
with a host port from 32768 up where the definition says none; in awsvpc each container has the interface of its task.
The tag `test:ip` of a task sets that address, `test:health` its health. Instances get PrivateIpAddress as asked for.
"""

import itertools
import sys

from moto.ecs import models
from moto.server import main

ports = itertools.count(32768)
begin = models.Task.__init__


def begin_running(self, cluster, task_definition, *args, **kwargs):
    network = (kwargs.get("networking_configuration") or {}).get("awsvpcConfiguration")
    if network is not None:
        network.setdefault("securityGroups", [])
    begin(self, cluster, task_definition, *args, **kwargs)
    self._transitions = []
    tags = {t["key"]: t["value"] for t in self.tags or []}
    self.health_status = tags.get("test:health", "UNKNOWN")
    mode = task_definition.network_mode or "bridge"
    address = None
    for detail in self.attachments[0]["details"] if self.attachments else []:
        if detail["name"] == "privateIPv4Address":
            address = detail["value"] = tags.get("test:ip", detail["value"])
    self.containers = []
    for described in task_definition.container_definitions:
        container = models.Container(task_definition)
        container.name = described["name"]
        container.last_status = "RUNNING"
        mappings = described.get("portMappings") or []
        if mode == "awsvpc":
            for m in mappings:
                m["hostPort"] = m.get("hostPort") or m["containerPort"]
            container.network_interfaces = [{"attachmentId": "a", "privateIpv4Address": address}]
        else:
            of = lambda m: m.get("hostPort") or (m["containerPort"] if mode == "host" else next(ports))
            container.network_bindings = [
                {"bindIP": "0.0.0.0", "containerPort": m["containerPort"], "hostPort": of(m), "protocol": "tcp"} for m in mappings
            ]
        self.containers.append(container)


models.Task.__init__ = begin_running

if __name__ == "__main__":
    main(sys.argv[1:])
