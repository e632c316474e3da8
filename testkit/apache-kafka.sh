#!/bin/sh
# Copies Apache Kafka with what it needs to run from Maven Central into the cache, once; needs Maven. Tests that need it, and Java 17 with its compiler,
# skip, loudly, where it is not there.
set -eu

VERSION=4.1.0
cache="${STREAMIFY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/streamify}/apache-kafka"
if [ -d "$cache/libs" ]; then
    exit 0
fi
if ! command -v mvn >/dev/null; then
    echo "apache-kafka: no Maven here, so no Apache Kafka" >&2
    exit 0
fi
rm -rf "$cache"
mkdir -p "$cache"
cd "$cache"
cat > pom.xml <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>streamify.local</groupId>
  <artifactId>apache-kafka</artifactId>
  <version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$VERSION</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
POM
if ! mvn -q -B dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=libs.part; then
    echo "apache-kafka: could not be fetched, so no Apache Kafka" >&2
    exit 0
fi
mv libs.part libs
