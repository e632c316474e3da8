#!/usr/bin/env bash
# One step of a rollout, for .github/workflows/rollout.yml and for a person with the same rights:
#   rollout.sh migrate FOLDER IMAGE   the schema, by the migration job of the new image, and nothing else
#   rollout.sh apply   FOLDER IMAGE   all of the environment on that image
#   rollout.sh smoke   FOLDER         waits until every part says that it is healthy; fails after ten minutes
# FOLDER is an environment of terraform/envs; its outputs image, project_id, region, migrate_job and web_url are used.
set -euo pipefail

step=${1:?migrate, apply or smoke} folder=${2:?a folder of terraform/envs}
output() { terraform -chdir="$folder" output -raw "$1"; }

case "$step" in
    migrate)
        image=${3:?an image}
        job=$(output migrate_job 2>/dev/null || true)
        if [ -z "$job" ]; then
            echo "rollout: nothing is deployed yet; the first apply makes the job, and nodes migrate at their start" >&2
            exit 0
        fi
        gcloud run jobs update "$job" --project "$(output project_id)" --region "$(output region)" --image "$image" --quiet
        gcloud run jobs execute "$job" --project "$(output project_id)" --region "$(output region)" --wait --quiet
        ;;
    apply)
        TF_VAR_image=${3:?an image} terraform -chdir="$folder" apply -input=false -auto-approve
        ;;
    smoke)
        url=$(output web_url)
        token=$(gcloud auth print-identity-token --audiences="$url" 2>/dev/null || true)
        for attempt in $(seq 1 60); do
            # All parts: database, scheduler, workers, queue, invariants.
            answer=$(curl --silent --show-error --fail --max-time 10 -H "Authorization: Bearer $token" "$url/api/v2/monitor/health" || true)
            if [ -n "$answer" ] && jq -e '[.[] | objects | .status] | length > 0 and all(. == "healthy" or . == null)' <<<"$answer" >/dev/null; then
                echo "rollout: healthy after $attempt looks"
                exit 0
            fi
            sleep 10
        done
        echo "rollout: not healthy after ten minutes; the last answer was: ${answer:-none}" >&2
        exit 1
        ;;
    *)
        echo "rollout: unknown step $step: migrate, apply or smoke" >&2
        exit 2
        ;;
esac
