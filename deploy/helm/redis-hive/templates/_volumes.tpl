{{/* Files of the Secret with passwords. Takes a dict: root, name (of the volume), files (a list of their names). */}}
{{- define "redis-hive.secretVolume" -}}
{{- $keys := dict
    "redis-password" .root.Values.auth.keys.redisPassword
    "hive-secret" .root.Values.auth.keys.hiveSecret
    "exporter-passwords.json" .root.Values.exporter.passwordsKey -}}
- name: {{ .name }}
  secret:
    secretName: {{ include "redis-hive.secretName" .root | quote }}
    defaultMode: 0440
    items:
      {{- range .files }}
      - key: {{ get $keys . | quote }}
        path: {{ . }}
      {{- end }}
{{- end -}}

{{- define "redis-hive.tlsVolume" -}}
{{- $keys := .Values.tls.keys -}}
- name: tls
  secret:
    secretName: {{ default (printf "%s-tls" (include "redis-hive.fullname" .)) .Values.tls.existingSecret | quote }}
    defaultMode: 0440
    {{- if ne (join " " (list $keys.ca $keys.cert $keys.key)) "ca.crt tls.crt tls.key" }}
    items:
      - key: {{ $keys.ca | quote }}
        path: ca.crt
      - key: {{ $keys.cert | quote }}
        path: tls.crt
      - key: {{ $keys.key | quote }}
        path: tls.key
    {{- end }}
{{- end -}}

{{/* How a Deployment is replaced. Takes a dict: surge, whether there may be one pod more. */}}
{{- define "redis-hive.strategy" -}}
{{- if .surge -}}
# Of three pods two keep a current copy at every moment of a rollout. maxUnavailable is not 0: old pods
# that are not ready make way for new ones.
{{- else -}}
# No surge: one more hive, and the quorum would be no more than half.
{{- end }}
strategy:
  type: RollingUpdate
  rollingUpdate:
    maxSurge: {{ ternary 1 0 .surge }}
    maxUnavailable: 1
{{- end -}}
