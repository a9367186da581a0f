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

{{/* Senders or receivers by address. Takes a list of CIDR ranges. */}}
{{- define "redis-hive.blocks" -}}
{{- range $index, $range := . -}}
{{- if $index }}{{ "\n" }}{{ end -}}
- ipBlock: {cidr: {{ $range | quote }}}
{{- end -}}
{{- end -}}

{{/* Single hosts. Takes a list of addresses. */}}
{{- define "redis-hive.hosts" -}}
{{- $ranges := list -}}
{{- range . -}}
{{- $ranges = append $ranges (printf "%s/%d" . (ternary 128 32 (contains ":" .))) -}}
{{- end -}}
{{- include "redis-hive.blocks" $ranges -}}
{{- end -}}
