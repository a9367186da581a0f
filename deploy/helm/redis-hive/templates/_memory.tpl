{{/* How much Redis may hold, and what the pod has for it. */}}

{{/* A quantity in bytes. Takes a dict: name, for the refusal, and quantity. */}}
{{- define "redis-hive.bytes" -}}
{{- $text := ternary (int64 .quantity | toString) (toString .quantity) (kindIs "float64" .quantity) -}}
{{- $number := regexFind `^[0-9]+(\.[0-9]+)?` $text | float64 -}}
{{- $unit := regexReplaceAll `^[0-9.]+` $text "" -}}
{{- $units := dict "" 1 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 -}}
{{- if not (hasKey $units $unit) -}}
{{- fail (printf "%s: cannot read '%s': write it like 2Gi" .name $text) -}}
{{- end -}}
{{- mulf $number (get $units $unit) | floor | int64 -}}
{{- end -}}

{{/* The maxmemory of redis.config in bytes; empty where there is none. */}}
{{- define "redis-hive.givenMaxmemory" -}}
{{- $lines := regexFindAll `(?im)^[ \t]*["']?maxmemory["']?[ \t]+["']?[0-9]+[a-z]*` .Values.redis.config -1 -}}
{{- if $lines -}}
{{- $text := regexFind `[0-9]+[a-z]*$` (last $lines | lower) -}}
{{- $units := dict "" 1 "b" 1 "k" 1000 "kb" 1024 "m" 1000000 "mb" 1048576 "g" 1000000000 "gb" 1073741824 -}}
{{- $unit := regexFind `[a-z]*$` $text -}}
{{- if not (hasKey $units $unit) -}}
{{- fail (printf "redis.config: maxmemory %s: Redis knows no unit '%s'" $text $unit) -}}
{{- end -}}
{{- mul (regexFind `^[0-9]+` $text | int64) (get $units $unit) -}}
{{- end -}}
{{- end -}}

{{/* The maxmemory of Redis in bytes, 0 for none: that of redis.config, else a share of the limit. */}}
{{- define "redis-hive.maxmemory" -}}
{{- $given := include "redis-hive.givenMaxmemory" . -}}
{{- if $given -}}
{{- $given -}}
{{- else if gt (int .Values.redis.maxmemoryPercent) 0 -}}
{{- $limit := dict "name" "redis.resources.limits.memory" "quantity" .Values.redis.resources.limits.memory -}}
{{- mulf (include "redis-hive.bytes" $limit | float64) (divf .Values.redis.maxmemoryPercent 100) | floor | int64 -}}
{{- else -}}
0
{{- end -}}
{{- end -}}

{{/* There is room for the data; on the disk also for the file of what a replica receives. */}}
{{- define "redis-hive.checks.memory" -}}
{{- $resources := .Values.redis.resources -}}
{{- $given := include "redis-hive.givenMaxmemory" . -}}
{{- if and (not $given) (gt (int .Values.redis.maxmemoryPercent) 0) (not (dig "limits" "memory" "" $resources)) -}}
{{- fail "redis.maxmemoryPercent: a share of what? Set redis.resources.limits.memory" -}}
{{- end -}}
{{- $maxmemory := include "redis-hive.maxmemory" . | int64 -}}
{{- range $place, $times := dict "limits.memory" 1 "requests.ephemeral-storage" 2 "limits.ephemeral-storage" 2 -}}
{{- $parts := splitn "." 2 $place -}}
{{- $name := printf "redis.resources.%s" $place -}}
{{- $quantity := dig $parts._0 $parts._1 "" $resources -}}
{{- $least := mul $maxmemory $times -}}
{{- if and $quantity (lt (include "redis-hive.bytes" (dict "name" $name "quantity" $quantity) | int64) $least) -}}
{{- $why := ternary "the data" "the data and the file of a full copy" (eq $parts._1 "memory") -}}
{{- fail (printf "%s: %v is too little for %s, with a maxmemory of %d bytes: give at least %dMi" $name $quantity $why $maxmemory (div (add $least 1048575) 1048576)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
