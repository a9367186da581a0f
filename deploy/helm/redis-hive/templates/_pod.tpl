{{/* What data pods and the witness have in common. */}}

{{/* Metadata of a pod. Takes a dict: root, component. */}}
{{- define "redis-hive.podMetadata" -}}
labels:
  {{- include "redis-hive.podLabels" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .component }}
  {{- with mergeOverwrite (dict) .root.Values.commonLabels .root.Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  {{- $isData := eq .component "data" }}
  {{- $opaque := ternary "6379,6380,6381,6390" "6380,6381,6390" $isData }}
  {{- if .root.Values.sentinel.enabled }}
  {{- $opaque = printf "%s,%d" $opaque (int .root.Values.sentinel.port) }}
  {{- end }}
  {{- $own := dict
      "kubectl.kubernetes.io/default-container" (ternary "redis" "hive" $isData)
      "config.linkerd.io/opaque-ports" $opaque
      "checksum/settings" (include "redis-hive.settings" .root | sha256sum) }}
  {{- if .root.Values.monitoring.scrapeAnnotations }}
  {{- $own = merge $own (dict "prometheus.io/scrape" "true" "prometheus.io/port" "6391" "prometheus.io/path" "/metrics") }}
  {{- end }}
  {{- if $isData }}
  {{- $_ := set $own "checksum/config" (include "redis-hive.configData" .root | sha256sum) }}
  {{- end }}
  {{- mergeOverwrite (dict) .root.Values.commonAnnotations $own .root.Values.podAnnotations | toYaml | nindent 2 }}
{{- end -}}

{{/* The settings of a pod around its containers and volumes. Takes a dict: root, component, and the
values nodeSelector, tolerations, affinity. */}}
{{- define "redis-hive.podSettings" -}}
{{- $values := .root.Values -}}
automountServiceAccountToken: false
enableServiceLinks: false
# Nearly always unused: it keeps the last copy alive while a big one is being copied.
terminationGracePeriodSeconds: {{ int64 $values.terminationGracePeriodSeconds }}
securityContext:
  runAsNonRoot: true
  {{- range $key := list "runAsUser" "runAsGroup" "fsGroup" }}
  {{- with get $values.security $key }}
  {{ $key }}: {{ int64 . }}
  {{- end }}
  {{- end }}
  {{- if $values.security.fsGroup }}
  fsGroupChangePolicy: OnRootMismatch
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
{{- with $values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- range $key := list "priorityClassName" "runtimeClassName" "schedulerName" }}
{{- with get $values $key }}
{{ $key }}: {{ . | quote }}
{{- end }}
{{- end }}
{{- with $values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- include "redis-hive.topologySpread" . }}
{{- end -}}

{{/* Softly over nodes and zones, unless the values say otherwise. */}}
{{- define "redis-hive.topologySpread" -}}
{{- $given := .root.Values.topologySpreadConstraints -}}
{{- if kindIs "invalid" $given }}
topologySpreadConstraints:
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "redis-hive.selectorLabels" $.root | nindent 8 }}
{{- end }}
{{- else if $given }}
topologySpreadConstraints:
  {{- toYaml $given | nindent 2 }}
{{- end }}
{{- end -}}

{{/* No container may do more than its work. */}}
{{- define "redis-hive.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{/* Image and pull policy of a container. Takes what redis-hive.image takes. */}}
{{- define "redis-hive.imageLines" -}}
image: {{ include "redis-hive.image" . | quote }}
{{- with .image.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
{{- end -}}
