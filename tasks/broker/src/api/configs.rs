//! Looking at and changing the configuration of topics. The broker itself is configured when it is started.

use super::{code_and_message, text};
use crate::node::{Node, lock};
use crate::topic_config;
use crate::topics::Refusal;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult,
};
use kafka_protocol::messages::incremental_alter_configs_response as incremental;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use std::collections::BTreeMap;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const SOURCE_TOPIC: i8 = 1;
const SOURCE_DEFAULT: i8 = 5;
const SET: i8 = 0;
const DELETE: i8 = 1;

type Config = BTreeMap<String, String>;

pub(crate) fn describe(node: &Node, request: &DescribeConfigsRequest) -> DescribeConfigsResponse {
    let results = request.resources.iter().map(|resource| {
        let described = describe_one(node, resource);
        let answer = DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone());
        match described {
            Ok(configs) => answer.with_configs(configs),
            Err(refusal) => {
                answer.with_error_code(refusal.error.code()).with_error_message(Some(text(&refusal.message)))
            }
        }
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

fn describe_one(
    node: &Node,
    resource: &DescribeConfigsResource,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    let (own, read_only) = match resource.resource_type {
        TOPIC => (config_of(node, &resource.resource_name)?, false),
        BROKER => (Config::new(), true),
        other => return Err(unsupported(other)),
    };
    let mut all: BTreeMap<String, (String, i8)> = topic_config::defaults(node.topics.default_retention)
        .into_iter()
        .map(|(name, value)| (name, (value, SOURCE_DEFAULT)))
        .collect();
    all.extend(own.into_iter().map(|(name, value)| (name, (value, SOURCE_TOPIC))));
    if let Some(wanted) = &resource.configuration_keys {
        all.retain(|name, _| wanted.iter().any(|key| key.as_str() == name));
    }
    let describe = |(name, (value, source)): (String, (String, i8))| {
        DescribeConfigsResourceResult::default()
            .with_name(text(&name))
            .with_value(Some(text(&value)))
            .with_config_source(source)
            .with_read_only(read_only)
    };
    Ok(all.into_iter().map(describe).collect())
}

fn config_of(node: &Node, topic: &str) -> Result<Config, Refusal> {
    let unknown =
        || Refusal::new(ResponseError::UnknownTopicOrPartition, format!("there is no topic {topic}"));
    lock(&node.meta).state().topics.get(topic).map(|topic| topic.config.clone()).ok_or_else(unknown)
}

fn unsupported(resource_type: i8) -> Refusal {
    let why = format!("resource type {resource_type}: only topics ({TOPIC}) can be configured");
    Refusal::new(ResponseError::InvalidRequest, why)
}

/// What the request does not name goes back to its default.
pub(crate) fn alter(node: &Node, request: &AlterConfigsRequest) -> AlterConfigsResponse {
    let responses = request.resources.iter().map(|resource| {
        let named = resource.configs.iter();
        let config =
            named.filter_map(|c| Some((c.name.to_string(), c.value.as_ref()?.to_string()))).collect();
        let outcome =
            replace(node, resource.resource_type, &resource.resource_name, config, request.validate_only);
        let (error_code, message) = code_and_message(outcome);
        AlterConfigsResourceResponse::default()
            .with_error_code(error_code)
            .with_error_message(message)
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone())
    });
    AlterConfigsResponse::default().with_responses(responses.collect())
}

fn replace(
    node: &Node,
    resource_type: i8,
    topic: &str,
    config: Config,
    only_check: bool,
) -> Result<(), Refusal> {
    if resource_type != TOPIC {
        return Err(unsupported(resource_type));
    }
    node.topics.configure(&mut lock(&node.meta), topic, config, only_check)
}

/// What the request does not name stays.
pub(crate) fn alter_incrementally(
    node: &Node,
    request: &IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let responses = request.resources.iter().map(|resource| {
        let changes =
            resource.configs.iter().map(|c| (c.name.as_str(), c.config_operation, c.value.as_deref()));
        let outcome = changed(node, &resource.resource_name, changes).and_then(|config| {
            replace(node, resource.resource_type, &resource.resource_name, config, request.validate_only)
        });
        let (error_code, message) = code_and_message(outcome);
        incremental::AlterConfigsResourceResponse::default()
            .with_error_code(error_code)
            .with_error_message(message)
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone())
    });
    IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
}

fn changed<'a>(
    node: &Node,
    topic: &str,
    changes: impl Iterator<Item = (&'a str, i8, Option<&'a str>)>,
) -> Result<Config, Refusal> {
    let mut config = config_of(node, topic)?;
    for (name, operation, value) in changes {
        match (operation, value) {
            (SET, Some(value)) => {
                config.insert(name.to_owned(), value.to_owned());
            }
            (DELETE, _) => {
                config.remove(name);
            }
            _ => {
                let why = format!("{name}: only setting and deleting are supported");
                return Err(Refusal::new(ResponseError::InvalidRequest, why));
            }
        }
    }
    Ok(config)
}
