{{/* Names, labels and images. */}}

{{/* The name from which all objects take theirs; short enough for -witness and what Kubernetes adds to pods. */}}
{{- define "redis-hive.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := printf "%s-%s" .Release.Name $name -}}
{{- if .Values.fullnameOverride -}}
{{- $full = .Values.fullnameOverride -}}
{{- else if contains $name .Release.Name -}}
{{- $full = .Release.Name -}}
{{- end -}}
{{- $full = $full | trunc 44 | trimSuffix "-" -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $full) -}}
{{- fail (printf "'%s' cannot be the name of a Service: small letters, digits and '-', a letter first. Set fullnameOverride" $full) -}}
{{- end -}}
{{- $full -}}
{{- end -}}

{{/* The labels that selectors use: they never change in the life of a release. */}}
{{- define "redis-hive.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* The chart's labels of pods: no version among them, or each new chart would replace all pods. */}}
{{- define "redis-hive.podLabels" -}}
{{ include "redis-hive.selectorLabels" . }}
app.kubernetes.io/part-of: {{ .Chart.Name }}
{{- end -}}

{{- define "redis-hive.labels" -}}
{{ include "redis-hive.podLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Name, labels and annotations of an object. Takes a dict: root, suffix, and perhaps component, labels (further
ones), annotations. */}}
{{- define "redis-hive.metadata" -}}
name: {{ printf "%s%s" (include "redis-hive.fullname" .root) (default "" .suffix) | quote }}
namespace: {{ .root.Release.Namespace | quote }}
labels:
  {{- include "redis-hive.labels" .root | nindent 2 }}
  {{- with .component }}
  app.kubernetes.io/component: {{ . }}
  {{- end }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with mergeOverwrite (dict) .root.Values.commonAnnotations (default (dict) .annotations) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* An image of the values' form. Takes a dict: image, and perhaps tag, which stands for an empty one. */}}
{{- define "redis-hive.image" -}}
{{- $name := ternary .image.repository (printf "%s/%s" .image.registry .image.repository) (empty .image.registry) -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .tag .image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "redis-hive.secretName" -}}
{{- default (include "redis-hive.fullname" .) .Values.auth.existingSecret -}}
{{- end -}}

{{/* "true" where Redis is a native sidecar. */}}
{{- define "redis-hive.nativeSidecar" -}}
{{- if eq .Values.nativeSidecar "auto" -}}
{{- semverCompare ">=1.29.0-0" .Capabilities.KubeVersion.Version -}}
{{- else -}}
{{- eq .Values.nativeSidecar "always" -}}
{{- end -}}
{{- end -}}

{{/* The labels of the pod of `helm test`: not those of the hive's pods, or Services would lead to it. */}}
{{- define "redis-hive.testLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 57 }}-test
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/part-of: {{ .Chart.Name }}
app.kubernetes.io/component: test
{{- end -}}
