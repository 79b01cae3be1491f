module mutualgate.test/hostile

go 1.21
