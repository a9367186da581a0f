{{/* Parts of NetworkPolicy rules. */}}

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
