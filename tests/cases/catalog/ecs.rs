//! Amazon ECS, with a stand-in for AWS.

use super::consul::AGAIN;
use super::{Server, answers, rejects, status};
use crate::harness::{Backend, Setup, eventually, within};
use serde_json::{Value, json};

struct Aws(Server);

/// What the stand-in finds the service by.
fn signed(service: &str) -> String {
    format!(
        "Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/eu-west-1/{service}/aws4_request, SignedHeaders=host, Signature=x\r\n"
    )
}

impl Aws {
    fn start() -> Option<Aws> {
        Server::start("moto.sh", &["PORT"], &[]).map(Aws)
    }

    #[track_caller]
    fn ecs(&self, operation: &str, input: &Value) -> Value {
        let headers = format!(
            "{}Content-Type: application/x-amz-json-1.1\r\nX-Amz-Target: AmazonEC2ContainerServiceV20141113.{operation}\r\n",
            signed("ecs")
        );
        let answer = self.0.ask("POST", "/", &headers, &input.to_string());
        assert_eq!(answer.status, 200, "{operation}: {answer:?}");
        answer.json()
    }

    /// The first value of a name in the answer.
    #[track_caller]
    fn ec2(&self, form: &str, name: &str) -> String {
        let headers = format!("{}Content-Type: application/x-www-form-urlencoded\r\n", signed("ec2"));
        let answer = self.0.ask("POST", "/", &headers, &format!("Version=2016-11-15&{form}"));
        let text = answer.text().to_owned();
        let found = text.split_once(&format!("<{name}>")).and_then(|(_, rest)| rest.split_once('<'));
        found.unwrap_or_else(|| panic!("{form}: {text}")).0.to_owned()
    }

    /// A cluster with an instance that is this machine.
    fn cluster(&self, name: &str) {
        self.ecs("CreateCluster", &json!({"clusterName": name}));
        let id = self.ec2("Action=RunInstances&ImageId=ami-12c6146b&MinCount=1&MaxCount=1&PrivateIpAddress=127.0.0.1", "instanceId");
        let document = json!({"instanceId": id}).to_string();
        self.ecs("RegisterContainerInstance", &json!({"cluster": name, "instanceIdentityDocument": document}));
    }

    /// A task with one container, on a host port; its ARN.
    fn run(&self, cluster: &str, name: &str, backend: &Backend, labels: &Value) -> String {
        let container = json!({"name": name, "image": "x", "memory": 8, "cpu": 1, "dockerLabels": labels,
            "portMappings": [{"containerPort": 80, "hostPort": backend.address.port()}]});
        self.ecs("RegisterTaskDefinition", &json!({"family": name, "networkMode": "bridge", "containerDefinitions": [container]}));
        let ran = self.ecs("RunTask", &json!({"cluster": cluster, "taskDefinition": name, "group": format!("service:{name}")}));
        ran["tasks"][0]["taskArn"].as_str().unwrap_or_else(|| panic!("{ran}")).to_owned()
    }

    fn setup(&self) -> Setup {
        Setup::new()
            .flag("--providers.ecs.refreshseconds=100ms")
            .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.0.port()))
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "a-secret-key")
    }
}

fn rule(path: &str) -> Value {
    let mut labels = serde_json::Map::new();
    labels.insert(format!("traefik.http.routers.{}.rule", path.trim_start_matches('/')), json!(format!("Path(`{path}`)")));
    Value::Object(labels)
}

#[test]
fn tasks_come_and_go() {
    let Some(aws) = Aws::start() else { return };
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    aws.cluster("shop");
    let first = aws.run("shop", "web", &a, &rule("/web"));
    let gateway = aws.setup().flag("--providers.ecs.clusters=shop,nowhere").start();
    answers(&gateway, "/web", "a");
    rejects(&gateway, "ecs", "cluster nowhere", "ClusterNotFoundException");
    // another definition of the same family: the old task runs on
    let second = aws.run("shop", "web", &b, &rule("/web"));
    answers(&gateway, "/web", "b");
    aws.ecs("StopTask", &json!({"cluster": "shop", "task": first}));
    eventually("one server is left", || {
        let shown = gateway.admin("/api/http/services/service-web-web@ecs").json();
        (shown["loadBalancer"]["servers"].as_array()?.len() == 1).then_some(())
    });
    assert_eq!(gateway.get("/web").text(), "b");
    // a container that is wrong
    aws.run("shop", "bad", &a, &json!({"traefik.http.routers.bad.nonsense": "1"}));
    rejects(&gateway, "ecs", "container bad of task", "nonsense");
    assert_eq!(gateway.get("/web").text(), "b");
    aws.0.stop();
    eventually("it is away", || status(&gateway, "ecs")["connectedSince"].is_null().then_some(()));
    assert_eq!(gateway.get("/web").text(), "b", "what was good last is served");
    aws.0.start_again();
    within(AGAIN, "nothing is left of the clusters", || {
        status(&gateway, "ecs")["lastError"].as_str()?.contains("ClusterNotFound").then_some(())
    });
    assert_eq!(gateway.get("/web").text(), "b");
    aws.cluster("shop");
    within(AGAIN, "a cluster without tasks", || (gateway.get("/web").status == 404).then_some(()));
    assert!(!gateway.log().contains("a-secret-key"));
    drop(second);
}

#[test]
fn tasks_with_interfaces_of_their_own_in_clusters_that_are_found() {
    let Some(aws) = Aws::start() else { return };
    let backend = Backend::named("a");
    aws.ecs("CreateCluster", &json!({"clusterName": "one"}));
    let port = backend.address.port();
    let container = json!({"name": "api", "image": "x", "memory": 8, "cpu": 1, "portMappings": [{"containerPort": port}]});
    aws.ecs(
        "RegisterTaskDefinition",
        &json!({"family": "api", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512", "containerDefinitions": [container]}),
    );
    let subnet = aws.ec2("Action=DescribeSubnets", "subnetId");
    let run = |health: &str| {
        let tags = json!([{"key": "test:ip", "value": "127.0.0.1"}, {"key": "test:health", "value": health}]);
        let network = json!({"awsvpcConfiguration": {"subnets": [subnet]}});
        aws.ecs(
            "RunTask",
            &json!({"cluster": "one", "taskDefinition": "api", "launchType": "FARGATE", "group": "family:api", "networkConfiguration": network, "tags": tags}),
        );
    };
    run("UNKNOWN");
    run("UNHEALTHY");
    let gateway =
        aws.setup().flag("--providers.ecs.autodiscoverclusters=true").flag("--providers.ecs.defaultrule=Path(`/{{ .Name }}`)").start();
    answers(&gateway, "/family-api-api", "a");
    let shown = gateway.admin("/api/http/services/family-api-api@ecs").json();
    assert_eq!(shown["loadBalancer"]["servers"], json!([{"url": format!("http://127.0.0.1:{port}")}]));
    let healthy = aws.setup().flag("--providers.ecs.autodiscoverclusters=true").flag("--providers.ecs.healthytasksonly=true").start();
    eventually("it has delivered", || status(&healthy, "ecs")["delivered"].as_bool()?.then_some(()));
    assert_eq!(status(&healthy, "ecs")["objects"], 0);
}

#[test]
fn without_credentials_it_says_so() {
    let gateway = Setup::new().flag("--providers.ecs.region=eu-west-1").env("AWS_EC2_METADATA_DISABLED", "true").without_waiting().start();
    gateway.wait_serving();
    let error = eventually("it is told", || status(&gateway, "ecs")["lastError"].as_str().map(str::to_owned));
    assert!(error.contains("no credentials"), "{error}");
}
