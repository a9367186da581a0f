{{/* What the ConfigMaps hold. */}}

{{/* Settings of Redis: what start-redis.sh adds comes after this and wins. */}}
{{- define "redis-hive.config" -}}
{{- if and (gt (int .Values.redis.maxmemoryPercent) 0) (not (include "redis-hive.givenMaxmemory" .)) -}}
maxmemory {{ include "redis-hive.maxmemory" . }}
{{ end -}}
{{- .Values.redis.config | trim }}
{{ end -}}

{{- define "redis-hive.tlsConfig" -}}
port 0
tls-port 6379
tls-replication yes
tls-ca-cert-file /etc/redis-hive-tls/ca.crt
tls-cert-file /etc/redis-hive-tls/tls.crt
tls-key-file /etc/redis-hive-tls/tls.key
tls-auth-clients {{ get (dict "required" "yes" "optional" "optional" "none" "no") .Values.tls.clientCertificates }}
{{ end -}}

{{- define "redis-hive.configData" -}}
redis.conf: |
  {{- include "redis-hive.config" . | nindent 2 }}
{{- if .Values.tls.enabled }}
tls.conf: |
  {{- include "redis-hive.tlsConfig" . | nindent 2 }}
{{- end }}
start-redis.sh: |
  {{- .Files.Get "files/start-redis.sh" | nindent 2 }}
{{- if ne (include "redis-hive.nativeSidecar" .) "true" }}
wait-for-hive.sh: |
  {{- .Files.Get "files/wait-for-hive.sh" | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Settings that all hives share, witnesses too: the flags of `redis-hive run`. */}}
{{- define "redis-hive.settings" -}}
{{- $name := include "redis-hive.fullname" . -}}
{{- $all := dict "log-format" "json" -}}
{{- range $flag, $value := omit .Values.hive.settings "rescue-dir" "rescue-max-bytes" -}}
{{- $_ := set $all $flag (include "redis-hive.setting" $value) -}}
{{- end -}}
{{- $_ := set $all "service" (prepend .Values.sites.services (printf "%s-peers" $name) | join ",") -}}
{{- $_ := set $all "peer" (join "," .Values.sites.peers) -}}
{{- $_ := set $all "name" .Values.sites.name -}}
{{- if gt (int .Values.quorum) 1 }}{{ $_ := set $all "quorum" (int .Values.quorum) }}{{ end -}}
{{- if gt (int .Values.minReplicasToWrite) 0 }}{{ $_ := set $all "min-replicas-to-write" (int .Values.minReplicasToWrite) }}{{ end -}}
{{- if .Values.auth.enabled -}}
{{- $_ := set $all "secret-file" "/etc/redis-hive-secrets/hive-secret" -}}
{{- end -}}
{{- with .Values.sentinel -}}
{{- if .enabled -}}
{{- $_ := set $all "sentinel-port" (int .port) -}}
{{- $_ := set $all "sentinel-name" .name -}}
{{- $_ := set $all "sentinel-announce" .announce -}}
{{- end -}}
{{- end -}}
{{- if .Values.tls.enabled -}}
{{- $_ := set $all "redis-tls" "true" -}}
{{- $_ := set $all "redis-ca" "/etc/redis-hive-tls/ca.crt" -}}
{{- $_ := set $all "redis-cert" "/etc/redis-hive-tls/tls.crt" -}}
{{- $_ := set $all "redis-key" "/etc/redis-hive-tls/tls.key" -}}
{{- $_ := set $all "redis-tls-server-name" (default $name .Values.tls.serverName) -}}
{{- end -}}
{{- range $flag, $value := $all }}
{{- with toString $value }}
{{ include "redis-hive.variable" $flag }}: {{ . | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The variable of a flag. */}}
{{- define "redis-hive.variable" -}}
HIVE_{{ . | upper | replace "-" "_" }}
{{- end -}}

{{/* A setting as text: `on` and `off` are no text in YAML, and large numbers are printed with an exponent. */}}
{{- define "redis-hive.setting" -}}
{{- if kindIs "bool" . -}}
{{- ternary "on" "off" . -}}
{{- else if kindIs "float64" . -}}
{{- int64 . -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}
