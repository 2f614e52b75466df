module github.com/functionstream/function-stream/examples/basic/go

go 1.23
