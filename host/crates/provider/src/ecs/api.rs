//! The operations of ECS, EC2 and SSM that tasks are read by, page by page.

use super::aws::{Aws, AwsError, Service};
use super::ec2::{self, Instance};
use serde::{Deserialize, Deserializer};
use serde_json::json;
use std::collections::BTreeMap;

/// Names in one request, at most, as ECS has it.
const PAGE: usize = 100;
/// Pages of one list, at most: a token that leads in circles ends.
const PAGES: usize = 1000;

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Task {
    pub(super) task_arn: String,
    pub(super) task_definition_arn: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) container_instance_arn: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) group: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) last_status: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) health_status: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) attachments: Vec<serde_json::Value>,
    #[serde(deserialize_with = "or_default")]
    pub(super) containers: Vec<Container>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Container {
    pub(super) name: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) network_bindings: Vec<Mapping>,
    #[serde(deserialize_with = "or_default")]
    pub(super) network_interfaces: Vec<Interface>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Mapping {
    #[serde(deserialize_with = "or_default")]
    pub(super) host_port: u32,
    #[serde(deserialize_with = "or_default")]
    pub(super) container_port: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Interface {
    #[serde(rename = "privateIpv4Address", deserialize_with = "or_default")]
    pub(super) address: String,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct TaskDefinition {
    #[serde(deserialize_with = "or_default")]
    pub(super) network_mode: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) container_definitions: Vec<ContainerDefinition>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerDefinition {
    pub(super) name: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) docker_labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    pub(super) port_mappings: Vec<Mapping>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerInstance {
    container_instance_arn: String,
    #[serde(default, deserialize_with = "or_default")]
    ec2_instance_id: String,
}

fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(d: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or_default())
}

/// One page of a list of names.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Names {
    #[serde(default, alias = "clusterArns", alias = "taskArns")]
    arns: Vec<String>,
    #[serde(default)]
    next_token: Option<String>,
}

impl Aws {
    async fn list(&self, operation: &str, mut input: serde_json::Value) -> Result<Vec<String>, AwsError> {
        let mut all = Vec::new();
        for _ in 0..PAGES {
            let page: Names = self.json(Service::Ecs, operation, &input).await?;
            all.extend(page.arns);
            match page.next_token.filter(|t| !t.is_empty()) {
                Some(token) => input["nextToken"] = token.into(),
                None => break,
            }
        }
        Ok(all)
    }

    pub(super) async fn clusters(&self) -> Result<Vec<String>, AwsError> {
        self.list("ListClusters", json!({"maxResults": PAGE})).await
    }

    /// All tasks that are to run, whatever state they are in.
    pub(super) async fn tasks(&self, cluster: &str) -> Result<Vec<Task>, AwsError> {
        #[derive(Deserialize)]
        struct Tasks {
            tasks: Vec<Task>,
        }
        let names = self.list("ListTasks", json!({"cluster": cluster, "desiredStatus": "RUNNING", "maxResults": PAGE})).await?;
        let mut all = Vec::with_capacity(names.len());
        for page in names.chunks(PAGE) {
            let Tasks { tasks } = self.json(Service::Ecs, "DescribeTasks", &json!({"cluster": cluster, "tasks": page})).await?;
            all.extend(tasks);
        }
        Ok(all)
    }

    pub(super) async fn task_definition(&self, arn: &str) -> Result<TaskDefinition, AwsError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Described {
            task_definition: TaskDefinition,
        }
        let described: Described = self.json(Service::Ecs, "DescribeTaskDefinition", &json!({"taskDefinition": arn})).await?;
        Ok(described.task_definition)
    }

    /// The id of the machine of each container instance: `i-…` in EC2, `mi-…` elsewhere.
    pub(super) async fn machines(&self, cluster: &str, arns: &[&str]) -> Result<BTreeMap<String, String>, AwsError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Described {
            container_instances: Vec<ContainerInstance>,
        }
        let mut all = BTreeMap::new();
        for page in arns.chunks(PAGE) {
            let input = json!({"cluster": cluster, "containerInstances": page});
            let described: Described = self.json(Service::Ecs, "DescribeContainerInstances", &input).await?;
            all.extend(described.container_instances.into_iter().map(|i| (i.container_instance_arn, i.ec2_instance_id)));
        }
        Ok(all)
    }

    pub(super) async fn instances(&self, ids: &[&str]) -> Result<Vec<Instance>, AwsError> {
        let mut all = Vec::new();
        for page in ids.chunks(PAGE) {
            let mut form = vec![("Action".to_owned(), "DescribeInstances".to_owned()), ("Version".to_owned(), "2016-11-15".to_owned())];
            form.extend(page.iter().enumerate().map(|(i, id)| (format!("InstanceId.{}", i + 1), (*id).to_owned())));
            let plain = form.len();
            for _ in 0..PAGES {
                let answer = self.form(&form).await?;
                let (instances, next) = ec2::instances(&String::from_utf8_lossy(&answer)).map_err(AwsError::Away)?;
                all.extend(instances);
                form.truncate(plain);
                match next {
                    Some(token) => form.push(("NextToken".to_owned(), token)),
                    None => break,
                }
            }
        }
        Ok(all)
    }

    /// Addresses of machines that are not EC2's own, by id.
    pub(super) async fn managed(&self, ids: &[&str]) -> Result<BTreeMap<String, String>, AwsError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Page {
            #[serde(default)]
            instance_information_list: Vec<Managed>,
            next_token: Option<String>,
        }
        #[derive(Deserialize)]
        struct Managed {
            #[serde(rename = "InstanceId")]
            id: String,
            #[serde(rename = "IPAddress", default, deserialize_with = "or_default")]
            address: String,
        }
        let mut all = BTreeMap::new();
        // SSM takes fifty values of a filter, and fifty results at once.
        for some in ids.chunks(PAGE / 2) {
            let mut input = json!({"Filters": [{"Key": "InstanceIds", "Values": some}], "MaxResults": PAGE / 2});
            for _ in 0..PAGES {
                let page: Page = self.json(Service::Ssm, "DescribeInstanceInformation", &input).await?;
                all.extend(page.instance_information_list.into_iter().map(|m| (m.id, m.address)));
                match page.next_token.filter(|t| !t.is_empty()) {
                    Some(token) => input["NextToken"] = token.into(),
                    None => break,
                }
            }
        }
        Ok(all)
    }
}
