{{/* What the schema cannot say: values that do not go together. Each refusal names the value and the reason. */}}
{{- define "redis-hive.checks" -}}
{{- include "redis-hive.checks.quorum" . -}}
{{- include "redis-hive.checks.secrets" . -}}
{{- include "redis-hive.checks.redis" . -}}
{{- include "redis-hive.checks.sentinel" . -}}
{{- include "redis-hive.checks.monitoring" . -}}
{{- include "redis-hive.checks.memory" . -}}
{{- include "redis-hive.checks.env" . -}}
{{- include "redis-hive.checks.labels" . -}}
{{- range $name := list "write" "read" -}}
{{- include "redis-hive.checks.service" (dict "name" $name "service" (get $.Values.services $name)) -}}
{{- end -}}
{{- end -}}

{{- define "redis-hive.checks.quorum" -}}
{{- $quorum := int .Values.quorum -}}
{{- $hives := add .Values.replicas (ternary 1 0 .Values.witness.enabled) | int -}}
{{- $elsewhere := or .Values.sites.peers .Values.sites.services -}}
{{- if and (gt $quorum 1) (not $elsewhere) -}}
{{- if le (mul 2 $quorum | int) $hives -}}
{{- fail (printf "quorum: %d is not more than half of %d hives (replicas and witness), so nobody would lead: give %d" $quorum $hives (add 1 (div $hives 2))) -}}
{{- else if gt $quorum $hives -}}
{{- fail (printf "quorum: %d hives would have to follow, but there are only %d (replicas and witness)" $quorum $hives) -}}
{{- end -}}
{{- end -}}
{{- if gt (int .Values.minReplicasToWrite) (sub .Values.replicas 1 | int) -}}
{{- if not $elsewhere -}}
{{- fail (printf "minReplicasToWrite: %d followers cannot be current with %d replicas" (int .Values.minReplicasToWrite) (int .Values.replicas)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "redis-hive.checks.secrets" -}}
{{- $given := list .Values.auth.redisPassword .Values.auth.hiveSecret | compact -}}
{{- if and $given (not .Values.auth.enabled) -}}
{{- fail "auth.redisPassword and auth.hiveSecret are not used: auth.enabled is false" -}}
{{- end -}}
{{- if and $given .Values.auth.existingSecret -}}
{{- fail "auth.existingSecret: a Secret that exists has the password and the secret already; leave auth.redisPassword and auth.hiveSecret empty" -}}
{{- end -}}
{{- if eq (len $given) 1 -}}
{{- fail "auth.redisPassword and auth.hiveSecret: give both, or none and a Secret that exists. The chart invents no secrets: they would change with each upgrade" -}}
{{- end -}}
{{- if and .Values.auth.username (not .Values.auth.enabled) -}}
{{- fail "auth.username: a user needs a password, and auth.enabled is false" -}}
{{- end -}}
{{- end -}}

{{- define "redis-hive.checks.redis" -}}
{{- $renamed := regexFind `(?im)^[ \t]*["']?rename-command["']?[ \t]+["']?(acl|auth|client|config|hello|info|ping|psync|replconf|replicaof|role|script|slaveof)["']?([ \t]|$)` .Values.redis.config | trim -}}
{{- if $renamed -}}
{{- fail (printf "redis.config: '%s': the hive steers Redis by this command, and replicas copy by it; without it there is no replication. Forbid it to users by their ACL instead" $renamed) -}}
{{- end -}}
{{- with regexFind `(?im)^[ \t]*["']?include["']?[ \t].*` .Values.redis.config | trim -}}
{{- fail (printf "redis.config: '%s': what an included file does to Redis is not checked; write its lines here" .) -}}
{{- end -}}
{{- end -}}

{{- define "redis-hive.checks.sentinel" -}}
{{- if and .Values.sentinel.enabled (has (int .Values.sentinel.port) (list 6379 6380 6381 6390 6391 9121)) -}}
{{- fail (printf "sentinel.port: %d is a port of the pods already; 26379 is what clients of Sentinel expect" (int .Values.sentinel.port)) -}}
{{- end -}}
{{- end -}}

{{- define "redis-hive.checks.monitoring" -}}
{{- if and .Values.monitoring.scrapeAnnotations .Values.monitoring.podMonitor.enabled -}}
{{- fail "monitoring.scrapeAnnotations: a Prometheus that also has the PodMonitor would read all metrics twice; choose one" -}}
{{- end -}}
{{- end -}}

{{- define "redis-hive.checks.env" -}}
{{- range .Values.hive.extraEnv -}}
{{- if or (hasPrefix "HIVE_" .name) (eq .name "POD_IP") -}}
{{- fail (printf "hive.extraEnv: %s is set by the chart, or belongs into hive.settings" .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "redis-hive.checks.labels" -}}
{{- $own := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component"
    "app.kubernetes.io/part-of" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart" -}}
{{- range $name := list "commonLabels" "podLabels" -}}
{{- range $key := keys (get $.Values $name) -}}
{{- if has $key $own -}}
{{- fail (printf "%s: %s is set by the chart; selectors go by such labels" $name $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What the API server would refuse. Takes a dict: name, and service, its values. */}}
{{- define "redis-hive.checks.service" -}}
{{- $type := .service.type -}}
{{- $only := dict
    "nodePort" (list "NodePort" "LoadBalancer")
    "externalTrafficPolicy" (list "NodePort" "LoadBalancer")
    "loadBalancerClass" (list "LoadBalancer")
    "loadBalancerSourceRanges" (list "LoadBalancer") -}}
{{- range $key, $types := $only -}}
{{- if and (get $.service $key) (not (has $type $types)) -}}
{{- fail (printf "services.%s.%s: only for the type %s, and it is %s" $.name $key (join " or " $types) $type) -}}
{{- end -}}
{{- end -}}
{{- end -}}
