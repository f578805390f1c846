module ferrymq/cluster/pause

go 1.26.0
