{{/* Parts of NetworkPolicy rules. */}}

{{/* The ports of clients. Takes the root. */}}
{{- define "redis-hive.clientPorts" -}}
{{- $ports := list 6379 6380 6381 -}}
{{- if .Values.sentinel.enabled }}{{ $ports = append $ports (int .Values.sentinel.port) }}{{ end -}}
{{- include "redis-hive.tcp" $ports -}}
{{- end -}}

{{/* TCP ports. Takes a list of numbers. */}}
{{- define "redis-hive.tcp" -}}
{{- range $index, $port := . -}}
{{- if $index }}{{ "\n" }}{{ end -}}
- {protocol: TCP, port: {{ $port }}}
{{- end -}}
{{- end -}}

{{/* Single hosts. Takes a list of addresses. */}}
{{- define "redis-hive.hosts" -}}
{{- range $index, $host := . -}}
{{- if $index }}{{ "\n" }}{{ end -}}
- ipBlock: {cidr: "{{ $host }}/{{ ternary 128 32 (contains ":" $host) }}"}
{{- end -}}
{{- end -}}
